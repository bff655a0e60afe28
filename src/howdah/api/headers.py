"""Headers that every answer carries."""

from __future__ import annotations

from howdah.api.exchange import Exchange

SECURITY = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_TLS_ONLY = (b"strict-transport-security", b"max-age=31536000")


def headers_of(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """The security headers, and what is known of this request: its id, the version that answers, what is left to the
    key."""
    headers = [(b"x-request-id", exchange.request_id.encode()), *SECURITY]
    if exchange.secure:
        headers.append(_TLS_ONLY)
    if exchange.version is not None:
        headers.append((b"howdah-api-version", exchange.version.encode()))
    if exchange.allowance is not None:
        headers += exchange.allowance.headers()
    return headers
