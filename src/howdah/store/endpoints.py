"""Addresses of servers as they are stored."""

from __future__ import annotations

import json
from collections.abc import Sequence

from howdah.domain.services import Endpoint


def encode_endpoints(endpoints: Sequence[Endpoint]) -> str:
    return json.dumps([[endpoint.host, endpoint.port] for endpoint in endpoints])


def decode_endpoints(text: str) -> tuple[Endpoint, ...]:
    return () if text == "[]" else tuple(Endpoint(host, port) for host, port in json.loads(text))
