"""From where something may be used: IPv4 and IPv6 addresses and networks."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from howdah.domain.errors import BadRequest

MAX_SOURCES = 256
MAX_DESCRIPTION = 256

_SOURCE = re.compile(r"[0-9a-fA-F.:]+(/[0-9]{1,3})?", re.ASCII)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str, *, strict: bool = True) -> Network:
    """No masks and no zones, which are read differently elsewhere; and no IPv4 in IPv6, which no peer would match."""
    if not _SOURCE.fullmatch(text):
        raise ValueError(text)
    network = ipaddress.ip_network(text, strict=strict)
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise ValueError(text)
    return network


@dataclass(frozen=True, slots=True)
class Source:
    """``text``: as its user wrote it."""

    text: str
    description: str | None = None
    network: Network = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Raises ValueError when the text is no network."""
        object.__setattr__(self, "network", _network(self.text))


EVERYWHERE = (Source("0.0.0.0/0"), Source("::/0"))


def check_sources(given: Sequence[tuple[str, str | None]], called: str) -> tuple[Source, ...]:
    """Texts with their descriptions as sources. ``called``: the list's name. Raises BadRequest naming the entry."""
    if len(given) > MAX_SOURCES:
        raise BadRequest(f"{called} has {len(given)} entries; at most {MAX_SOURCES} are allowed")
    found: dict[Network, Source] = {}
    for index, (text, description) in enumerate(given):
        source = _source(text, description, f"{called}[{index}]")
        if source.network in found:
            raise BadRequest(f"{called}[{index}].source {text!a} is there twice; leave one out")
        found[source.network] = source
    return tuple(found.values())


def admits(sources: Iterable[Source], address: str | None) -> bool:
    """Whether ``address``, that of a peer, lies in one of them; one that is not known lies in none."""
    try:
        peer = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return False
    # What listens on IPv6 may see an IPv4 peer as ::ffff:192.0.2.1.
    mapped = peer.ipv4_mapped if isinstance(peer, ipaddress.IPv6Address) else None
    return any((mapped or peer) in source.network for source in sources)


def _source(text: str, description: str | None, entry: str) -> Source:
    if description is not None and len(description) > MAX_DESCRIPTION:
        raise BadRequest(
            f"{entry}.description has {len(description)} characters; at most {MAX_DESCRIPTION} are allowed"
        )
    try:
        return Source(text, description)
    except ValueError:
        raise BadRequest(f"{entry}.source {text[:60]!a} {_what_is_wrong(text)}") from None


def _what_is_wrong(text: str) -> str:
    try:
        meant = _network(text, strict=False)
    except ValueError:
        return "must be an IPv4 or IPv6 address, or a network like 10.0.0.0/8 or 2001:db8::/32"
    return f"has bits beyond its prefix; the network is {meant}"
