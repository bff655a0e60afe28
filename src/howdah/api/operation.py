"""What one call of the API is: its place, who may make it, what it takes and what it gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from starlette.responses import Response

from howdah.api.bodies import JSON
from howdah.api.call import Call
from howdah.api.validation import BodyType
from howdah.domain.activities import ActivityType

Handler = Callable[[Call], Awaitable[Response]]


class Access(Enum):
    """What a key must be allowed to do."""

    READ = "read"
    WRITE = "write"
    KEYS = "keys"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call.

    handler: None for a call of the contract that is not built; it answers 501.
    activity: as what it is noted when it is refused; every call that changes something has one.
    result: the schema of its result in the document; None: there is none. many: an array of them.
    """

    method: str
    path: str
    id: str
    tag: str
    summary: str
    handler: Handler | None = None
    access: Access = Access.READ
    body: BodyType[Any] | None = None
    media_types: tuple[str, ...] = JSON
    query: tuple[str, ...] = ()
    result: str | None = None
    many: bool = False
    activity: ActivityType | None = None
