"""What is known about one request beside its HTTP: its id, whether it came by TLS and, once known, the API version that
answers it and what its key may still send."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, cast

from howdah.api.rate_limits import Allowance
from howdah.domain.organizations import ApiVersion

_SCOPE_KEY = "howdah.exchange"


@dataclass(slots=True)
class Exchange:
    request_id: str
    secure: bool = False
    version: ApiVersion | None = None
    allowance: Allowance | None = None


def begin(scope: MutableMapping[str, Any], request_id: str) -> Exchange:
    """Remember a new exchange in an ASGI scope."""
    scope[_SCOPE_KEY] = exchange = Exchange(request_id, secure=scope.get("scheme") == "https")
    return exchange


def exchange_of(scope: MutableMapping[str, Any]) -> Exchange:
    """The exchange that ``begin`` put there."""
    return cast("Exchange", scope[_SCOPE_KEY])
