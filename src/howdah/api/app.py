"""The application: every operation mounted, every error an envelope."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import ASGIApp, Scope

from howdah.api import envelope
from howdah.api.answering import Answering
from howdah.api.document import openapi_document
from howdah.api.endpoint import endpoint
from howdah.api.exchange import exchange_of
from howdah.api.operations import OPERATIONS
from howdah.api.plane import PlaneLike
from howdah.api.probes import document_routes, probe_routes
from howdah.api.rate_limits import RateLimits
from howdah.api.repeats import Repeats
from howdah.api.slowdown import Slowdown
from howdah.api.tracing import Tracing
from howdah.domain.errors import BadRequest, HowdahError, MethodNotAllowed, NotFound


def create_app(plane: PlaneLike) -> ASGIApp:
    """The API of ``plane``, which is open already, as an ASGI application."""
    limits, slowdown, repeats = RateLimits(plane.settings.api.rate_limit), Slowdown(), Repeats()
    routes: list[Route] = [
        Route(one.path, Answering(endpoint(one, plane, limits, slowdown, repeats)), methods=[one.method])
        for one in OPERATIONS
    ]
    routes += probe_routes(plane)
    routes += document_routes(openapi_document)

    def refused(scope: Scope, error: HowdahError | HTTPException) -> Response:
        if isinstance(error, HowdahError):
            return envelope.failure(exchange_of(scope).request_id, error)
        return _not_routed(scope, error, routes)

    return Tracing(Router(routes, redirect_slashes=False), refused)


def _not_routed(scope: Scope, error: HTTPException, routes: Sequence[BaseRoute]) -> Response:
    """What the routing refuses: no such path, or not with this method."""
    request_id, method, path = exchange_of(scope).request_id, scope["method"], scope["path"][:60]
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        methods = ", ".join(_allowed_methods(scope, routes))
        if method == "OPTIONS":
            return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Allow": methods})
        refused = MethodNotAllowed(f"{method[:20]} is not for {path!a}; it takes {methods}")
        return envelope.failure(request_id, refused, {"Allow": methods})
    if error.status_code == HTTPStatus.NOT_FOUND:
        return envelope.failure(request_id, NotFound(f"there is nothing at {path!a}; GET /docs lists what there is"))
    return envelope.failure(request_id, BadRequest(str(error.detail)))


def _allowed_methods(scope: Scope, routes: Sequence[BaseRoute]) -> list[str]:
    """What the path takes, over all routes that match it."""
    found = {"OPTIONS"}
    for route in routes:
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return sorted(found | {"HEAD"} if "GET" in found else found)
