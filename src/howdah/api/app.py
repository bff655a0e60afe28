"""The application: every operation mounted, every error an envelope."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from howdah.api import envelope
from howdah.api.document import operation_document
from howdah.api.endpoint import endpoint
from howdah.api.exchange import exchange_of
from howdah.api.operations import OPERATIONS
from howdah.api.plane import PlaneLike
from howdah.api.probes import mount_document, mount_probes
from howdah.api.rate_limits import RateLimits
from howdah.api.repeats import Repeats
from howdah.api.slowdown import Slowdown
from howdah.api.tracing import Tracing
from howdah.domain.errors import BadRequest, HowdahError, MethodNotAllowed, NotFound


class DirectRoute(APIRoute):
    """Hands the request to its function as it is. Nothing is injected here, and resolving nothing costs as much as all
    of a read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return self.endpoint


def create_app(plane: PlaneLike) -> FastAPI:
    """The API of ``plane`` as an ASGI application. Its lifespan does nothing: ``plane`` is open already."""
    app = FastAPI(title="Howdah", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.router.route_class = DirectRoute
    app.add_middleware(Tracing)
    app.add_exception_handler(HowdahError, _howdah_error)
    app.add_exception_handler(HTTPException, _http_error)
    limits, slowdown, repeats = RateLimits(plane.settings.api.rate_limit), Slowdown(), Repeats()
    for operation in OPERATIONS:
        app.add_api_route(
            operation.path,
            endpoint(operation, plane, limits, slowdown, repeats),
            methods=[operation.method],
            status_code=HTTPStatus.NOT_IMPLEMENTED if operation.handler is None else HTTPStatus.OK,
            operation_id=operation.id,
            tags=[operation.tag],
            summary=operation.summary,
            response_model=None,
            response_class=Response,
            openapi_extra=operation_document(operation),
        )
    mount_probes(app, plane)
    mount_document(app)
    return app


async def _howdah_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HowdahError)
    return envelope.failure(exchange_of(request.scope).request_id, error)


async def _http_error(request: Request, error: Exception) -> Response:
    """What the routing refuses: no such path, or not with this method."""
    assert isinstance(error, HTTPException)
    request_id = exchange_of(request.scope).request_id
    path = request.url.path[:60]
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        methods = ", ".join(_allowed_methods(request))
        if request.method == "OPTIONS":
            return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Allow": methods})
        refused = MethodNotAllowed(f"{request.method[:20]} is not for {path!a}; it takes {methods}")
        return envelope.failure(request_id, refused, {"Allow": methods})
    if error.status_code == HTTPStatus.NOT_FOUND:
        return envelope.failure(request_id, NotFound(f"there is nothing at {path!a}; GET /docs lists what there is"))
    return envelope.failure(request_id, BadRequest(str(error.detail)))


def _allowed_methods(request: Request) -> list[str]:
    """What the path takes, over all routes that match it."""
    found = {"OPTIONS"}
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return sorted(found | {"HEAD"} if "GET" in found else found)
