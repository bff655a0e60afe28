"""Backups of a service, and new services made from them."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.responses import Response

from howdah.api import models, rendering
from howdah.api.call import Call
from howdah.api.calls.services import shown, tags
from howdah.api.queries import Page
from howdah.api.validation import BodyType
from howdah.domain.backups import RestoreSource, is_backup_name, parse_target
from howdah.domain.errors import BadRequest
from howdah.domain.services import Service
from howdah.domain.states import RESTORING, ServiceState

RESTORE = BodyType(models.PostgresServiceRestoreRequest)
LATEST = "latest"


async def restore_service(call: Call) -> Response:
    source = call.plane.services.get(call.organization, call.service)
    body = await call.body(RESTORE)
    target, render = body["restoreTarget"], partial(shown, call, credentials=True)
    restored = await call.plane.backups.restore(
        call.organization,
        source.id,
        name=body["name"],
        target=None if target == LATEST else parse_target(target, "restoreTarget"),
        tags=tags(body["tags"]) if "tags" in body else None,
        by=call.act(render),
    )
    return call.success(render(restored))


async def list_backups(call: Call) -> Response:
    page = Page.read(call.request.query_params)
    if page.cursor is not None and not is_backup_name(page.cursor):
        raise BadRequest(
            f"query parameter cursor is {page.cursor[:60]!a}; it must be the nextCursor of the page before"
        )
    found = await call.plane.backups.list(call.organization, call.service)
    left = [base for base in found if page.cursor is None or base.name < page.cursor]
    result = [rendering.backup(base) for base in left[: page.limit]]
    more = {"nextCursor": left[page.limit - 1].name} if len(left) > page.limit else {}
    return call.success(result, beside=more)


async def get_archive(call: Call) -> Response:
    status = await call.plane.backups.status(call.organization, call.service)
    return call.success(rendering.archive(status))


async def request_backup(call: Call) -> Response:
    number = await call.plane.backups.request(call.organization, call.service, call.act(_requested))
    return call.success(_requested(number))


def _requested(number: int) -> dict[str, int]:
    return {"request": number}


async def list_operations(call: Call) -> Response:
    found = call.plane.services.get(call.organization, call.service)
    source = call.plane.backups.source(call.organization, found.id)
    restored = call.plane.backups.is_restored(call.organization, found.id)
    operations = [] if source is None else [_restoration(found, source, over=restored)]
    began = call.plane.backups.under_way(call.organization, found.id)
    if began is not None:
        started = rendering.timestamp(began)
        operations.append({"operation": "backup", "status": "running", "startedAt": started, "detail": None})
    return call.success(operations)


def _restoration(found: Service, source: RestoreSource, *, over: bool) -> dict[str, Any]:
    under_way = found.state in RESTORING
    failing = found.state is ServiceState.UNAVAILABLE and not over
    return {
        "operation": "restore",
        "status": "running" if under_way else "failing" if failing else "succeeded",
        "startedAt": rendering.timestamp(found.created_at),
        "detail": found.state_reason if under_way or failing else None,
        "state": found.state,
        "restoreTarget": LATEST if source.target is None else rendering.exact_timestamp(source.target),
    }
