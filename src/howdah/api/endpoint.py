"""From a request to a call: who asks, for which organization, in which version, and whether the key may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response

from howdah.api.authentication import authenticate
from howdah.api.call import Call
from howdah.api.exchange import exchange_of
from howdah.api.operation import Access, Operation
from howdah.api.plane import PlaneLike
from howdah.api.rate_limits import WINDOW_SECONDS, Allowance, RateLimits
from howdah.api.repeats import HEADER, Repeats
from howdah.api.slowdown import LONGEST_DELAY, MOST_WAITING, Slowdown
from howdah.api.versions import asked_version, usual_version
from howdah.domain.activities import Deed
from howdah.domain.errors import (
    Conflict,
    Forbidden,
    HowdahError,
    NotFound,
    NotImplementedYet,
    TooManyRequests,
)
from howdah.domain.organizations import ApiKey, Role

_ALLOWED = {
    Access.READ: frozenset(Role),
    Access.WRITE: frozenset({Role.ADMIN, Role.DEVELOPER}),
    Access.KEYS: frozenset({Role.ADMIN}),
}


def endpoint(
    operation: Operation, plane: PlaneLike, limits: RateLimits, slowdown: Slowdown, repeats: Repeats
) -> Callable[[Request], Awaitable[Response]]:
    """The function that answers requests for ``operation``; its checks in the order that docs/api.md promises."""
    default_version = plane.settings.api.default_version
    allowed = _ALLOWED[operation.access]

    async def answer(request: Request) -> Response:
        headers = request.headers
        exchange = exchange_of(request.scope)
        try:
            key = await authenticate(request, plane.access, slowdown)
        except TooManyRequests:
            exchange.allowance = Allowance(MOST_WAITING, 0, LONGEST_DELAY, exceeded=True)
            raise
        exchange.allowance = limits.count(key.id)
        if exchange.allowance is not None and exchange.allowance.exceeded:
            raise TooManyRequests(_too_many(exchange.allowance))
        exchange.version = usual_version(headers, pinned=key.api_version, default=default_version)
        _check_organization(request, key)
        exchange.version = asked_version(headers) or exchange.version
        call = Call(plane, request, exchange.request_id, key, exchange.version)
        try:
            if key.role not in allowed:
                raise Forbidden(_refusal(key, operation))
            return await _handled(operation, call, repeats)
        except (Forbidden, Conflict) as refused:
            await _note_refusal(operation, call, refused)
            raise

    return answer


async def _handled(operation: Operation, call: Call, repeats: Repeats) -> Response:
    if operation.handler is None:
        raise NotImplementedYet(f"{operation.method} {operation.path} is not built yet; /docs lists what is")
    if operation.method == "POST" and HEADER in call.request.headers:
        return await repeats.answer(operation, operation.handler, call)
    return await operation.handler(call)


async def _note_refusal(operation: Operation, call: Call, refused: HowdahError) -> None:
    if operation.activity is None:
        return
    service = key = None
    with suppress(NotFound):  # What the path names may be no id at all.
        service = call.service if "postgresId" in call.request.path_params else None
        key = call.api_key if "keyId" in call.request.path_params else None
    deed = Deed(operation.activity, refused.sentence, service, key)
    await call.plane.activities.refused(call.organization, call.actor, deed)


def _too_many(allowance: Allowance) -> str:
    return (
        f"this key may send {allowance.limit} requests in {WINDOW_SECONDS:g} s and has;"
        f" it may go on in {allowance.reset:.3f} s (api.rate_limit sets how many)"
    )


def _check_organization(request: Request, key: ApiKey) -> None:
    text = request.path_params.get("organizationId")
    # Another's organization and one that does not exist look alike, so that ids cannot be probed.
    if text is not None and text.lower() != str(key.organization):
        raise NotFound(f"there is no organization {text[:60]!a}")


def _refusal(key: ApiKey, operation: Operation) -> str:
    needed = "; ".join(sorted(role for role in _ALLOWED[operation.access]))
    return f"a key with the role {key.role} may not do this ({operation.summary.lower()}); it needs: {needed}"
