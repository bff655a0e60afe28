"""``Idempotency-Key``: a POST that is sent again within a day is answered again and not done again."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import Connection
from starlette.datastructures import Headers
from starlette.responses import Response

from howdah.api.call import Call
from howdah.api.exchange import exchange_of
from howdah.api.operation import Handler, Operation
from howdah.domain.errors import BadRequest, Conflict
from howdah.domain.organizations import ApiVersion

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_LENGTH = 255


class Repeats:
    """Of one server. A repetition of what is still being done waits for it."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def answer(self, operation: Operation, handler: Handler, call: Call) -> Response:
        """What ``handler`` answers; or what it answered before, when the request was done before. Raises BadRequest for
        a wrong header, Conflict for the same key with another body, and what ``handler`` does: of what failed nothing
        is kept, and it is tried again."""
        scope = _scope(operation, call, _key(call.request.headers))
        body = {} if operation.body is None else await call.read(operation.media_types)
        fingerprint = _hash(json.dumps(body, sort_keys=True))
        turn = self._turns.setdefault(scope, asyncio.Lock())
        async with turn:
            kept = call.plane.answers.find(scope)
            if kept is not None:
                return _again(call, json.loads(kept), fingerprint)

            def keep(connection: Connection, result: Any) -> None:
                answer = {"body": fingerprint, "version": call.version, "result": result}
                call.plane.answers.keep(connection, scope, json.dumps(answer))

            call.keep = keep
            return await handler(call)


def _again(call: Call, kept: dict[str, Any], fingerprint: str) -> Response:
    if kept["body"] != fingerprint:
        raise Conflict(
            f"header {HEADER} is that of an earlier request with another body; send a new request under a new key"
        )
    exchange_of(call.request.scope).version = ApiVersion(kept["version"])
    return call.success(kept["result"], {REPLAYED: "true"})


def _key(headers: Headers) -> str:
    values = headers.getlist(HEADER)
    if len(values) != 1:
        raise BadRequest(f"header {HEADER} is there {len(values)} times; send it once")
    if not (1 <= len(values[0]) <= MAX_LENGTH and values[0].isascii() and values[0].isprintable()):
        raise BadRequest(f"header {HEADER} must have 1 to {MAX_LENGTH} printable ASCII characters, such as a UUID")
    return values[0]


def _scope(operation: Operation, call: Call, key: str) -> str:
    """The same service may be named by either form of its id."""
    service = call.service.ubid if "postgresId" in call.request.path_params else ""
    return _hash("\n".join((str(call.key.id), str(call.organization), operation.id, service, key)))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
