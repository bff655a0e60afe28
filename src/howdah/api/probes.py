"""What wants no key: liveness, readiness, and the document with its page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from howdah.api import envelope
from howdah.api.answering import Answer, Answering
from howdah.api.docs_page import docs_page
from howdah.api.exchange import exchange_of
from howdah.api.plane import PlaneLike
from howdah.domain.errors import Unavailable

_NOTHING_FROM_ELSEWHERE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}


@dataclass(frozen=True, slots=True)
class Probe:
    """``result``: its schema in the document."""

    path: str
    summary: str
    result: str


LIVENESS = Probe("/healthz", "Whether the server answers", "Health")
READINESS = Probe("/readyz", "Whether the server can do its work, with the reasons when it cannot", "Readiness")


def probe_routes(plane: PlaneLike) -> list[Route]:
    async def healthz(request: Request) -> Response:
        return envelope.success(exchange_of(request.scope).request_id, {"healthy": True})

    async def readyz(request: Request) -> Response:
        if missing := plane.readiness():
            raise Unavailable("; ".join(f"{name}: {reason}" for name, reason in missing.items()))
        return envelope.success(exchange_of(request.scope).request_id, {"ready": True})

    return [_route(LIVENESS.path, healthz), _route(READINESS.path, readyz)]


def document_routes(make: Callable[[], dict[str, Any]]) -> list[Route]:
    """/openapi.json and /docs."""
    # Made when they are first asked for: together they cost a tenth of a start, and few ask for them.
    document = cache(make)
    content = cache(lambda: json.dumps(document()).encode())
    page = cache(lambda: docs_page(document()).encode())

    async def serve_document(_: Request) -> Response:
        return Response(content(), media_type="application/json")

    async def serve_page(_: Request) -> Response:
        return Response(page(), media_type="text/html", headers=_NOTHING_FROM_ELSEWHERE)

    return [_route("/openapi.json", serve_document), _route("/docs", serve_page)]


def _route(path: str, answer: Answer) -> Route:
    return Route(path, Answering(answer), methods=["GET"])
