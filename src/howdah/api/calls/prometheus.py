"""Metrics in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from howdah.api.call import Call
from howdah.api.rendering import service_id
from howdah.domain.metrics import ServiceMetrics
from howdah.observability.exposition import CONTENT_TYPE, exposition
from howdah.observability.families import FAMILIES


async def get_service_metrics(call: Call) -> Response:
    return _answer(call, [await call.plane.metrics.of(call.organization, call.service)])


async def get_organization_metrics(call: Call) -> Response:
    return _answer(call, await call.plane.metrics.of_all(call.organization))


def _answer(call: Call, measured: Sequence[ServiceMetrics]) -> Response:
    subjects = [(_labels(call, one), one) for one in measured]
    return Response(exposition(FAMILIES, subjects), headers={"Content-Type": CONTENT_TYPE})


def _labels(call: Call, measured: ServiceMetrics) -> dict[str, str]:
    service = measured.service
    return {
        "clickhouse_org": str(service.organization),
        "postgres_service": service_id(service.id, call.version),
        "postgres_service_name": service.name,
    }
