"""What wants no key: liveness, readiness, and the document with its page."""

from __future__ import annotations

import json
from enum import Enum
from functools import cache

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from howdah.api import envelope
from howdah.api.docs_page import docs_page
from howdah.api.document import open_document, openapi_document
from howdah.api.exchange import exchange_of
from howdah.api.plane import PlaneLike
from howdah.domain.errors import Unavailable

_NOTHING_FROM_ELSEWHERE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
_TAGS: list[str | Enum] = ["Probes"]


def mount_probes(app: FastAPI, plane: PlaneLike) -> None:
    """Adds /healthz and /readyz."""

    @app.get(
        "/healthz",
        tags=_TAGS,
        summary="Whether the server answers",
        operation_id="healthz",
        response_class=Response,
        openapi_extra=open_document("Health"),
    )
    async def healthz(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        return envelope.success(exchange_of(request.scope).request_id, {"healthy": True})

    @app.get(
        "/readyz",
        tags=_TAGS,
        summary="Whether the server can do its work, with the reasons when it cannot",
        operation_id="readyz",
        response_class=Response,
        openapi_extra=open_document("Readiness"),
    )
    async def readyz(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        if missing := plane.readiness():
            raise Unavailable("; ".join(f"{name}: {reason}" for name, reason in missing.items()))
        return envelope.success(exchange_of(request.scope).request_id, {"ready": True})


def mount_document(app: FastAPI) -> None:
    """Adds /openapi.json and /docs, of all routes of ``app``."""

    # Made when they are first asked for: together they cost a tenth of a start, and few ask for them.
    document = cache(lambda: openapi_document(app))
    content = cache(lambda: json.dumps(document()).encode())
    page = cache(lambda: docs_page(document()).encode())

    async def serve_document(_: Request) -> Response:
        return Response(content(), media_type="application/json")

    async def serve_page(_: Request) -> Response:
        return Response(page(), media_type="text/html", headers=_NOTHING_FROM_ELSEWHERE)

    app.add_route("/openapi.json", serve_document, include_in_schema=False)
    app.add_route("/docs", serve_page, include_in_schema=False)
