"""Values of the configuration: from text or TOML to their types, and the rules of each key. Raises ValueError."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from howdah.domain.quotas import MOST
from howdah.domain.settings import PROTECTIONS

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.ASCII)
_RANGE = re.compile(r"([0-9]{1,9})-([0-9]{1,9})", re.ASCII)
LONGEST_DOMAIN = 90
"""A hostname of a service puts up to 163 characters in front of it, and DNS allows 253."""


def convert(value: Any, kind: Any) -> Any:
    """``value``, from TOML or as text from the environment, as ``kind``."""
    if kind is int:
        return _number(value, int, "a whole number")
    if kind is float:
        return _number(value, float, "a number")
    if kind is bool:
        return _truth(value)
    if kind == tuple[str, ...]:
        return _texts(value)
    if kind in (Path, Path | None):
        return _path(value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _choice(value, kind)
    return _text(value)


def _number(value: Any, kind: type[int] | type[float], called: str) -> Any:
    accepted: tuple[type, ...] = (int, str) if kind is int else (int, float, str)
    if isinstance(value, accepted) and not isinstance(value, bool):
        try:
            return kind(cast("Any", value))
        except ValueError:
            pass
    raise ValueError(f"is {value!r}; it must be {called}")


def _truth(value: Any) -> bool:
    said = str(value).strip().lower()
    if said not in ("true", "false"):
        raise ValueError(f"is {value!r}; it must be true or false")
    return said == "true"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    raise ValueError(f"is {value!r}; it must be text")


def _texts(value: Any) -> tuple[str, ...]:
    items: Any = value.split(",") if isinstance(value, str) else value
    if isinstance(items, list) and all(isinstance(item, str) for item in cast("list[Any]", items)):
        return tuple(item.strip() for item in cast("list[str]", items) if item.strip())
    raise ValueError(f"is {value!r}; it must be a list of texts")


def _path(value: Any) -> Path:
    if not isinstance(value, Path) and not _text(value):
        raise ValueError("is empty; it must be a path")
    try:
        return Path(value if isinstance(value, Path) else _text(value)).expanduser().absolute()
    except RuntimeError as unknown:
        raise ValueError(f"is {str(value)!r}; {unknown}") from None


def _choice(value: Any, kind: type[StrEnum]) -> StrEnum:
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"is {value!r}; it must be one of: {', '.join(kind)}") from None


def _between(least: float, most: float) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not least <= value <= most:
            raise ValueError(f"is {value}; it must be from {least} to {most}")
        return value

    return check


def _range(least: int, most: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        found = _RANGE.fullmatch(text)
        if found is None:
            raise ValueError(f"is {text!r}; it must be two numbers with a hyphen between, like {least}-{most}")
        first, last = int(found[1]), int(found[2])
        if not least <= first <= last <= most:
            raise ValueError(f"is {text}; it must lie within {least}-{most}, the smaller number first")
        return text

    return check


def _domain(text: str) -> str:
    name = text.lower().rstrip(".")
    if len(name) > LONGEST_DOMAIN or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(
            f"is {text!r}; it must be a DNS name of at most {LONGEST_DOMAIN} characters, like db.example.com"
        )
    return name


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"is {text!r}; it must be an IP address, like 127.0.0.1 or ::1") from None


def _addresses(found: tuple[str, ...]) -> tuple[str, ...]:
    if not found:
        raise ValueError("is empty; it must name at least one IP address")
    return tuple(_address(text) for text in found)


def _api_host(text: str) -> str:
    return _address("127.0.0.1" if text == "localhost" else text)


def _protections(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in PROTECTIONS:
            raise ValueError(f"names {name!r}; what can be required: {', '.join(PROTECTIONS)}")
    return names


def _archive(text: str) -> str:
    if text in ("", "off") or text.startswith("s3://"):
        return text
    if "://" in text:
        raise ValueError(f"is {text!r}; it must be a directory, s3://bucket/prefix, or off")
    return str(_path(text))


CHECKS: dict[str, Callable[[Any], Any]] = {
    "domain": _domain,
    "rename_grace_hours": _between(0, 24 * 365),
    "activity_retention_days": _between(0.01, 9999),
    "api.host": _api_host,
    "api.port": _between(0, 65535),
    "api.rate_limit": _between(0, 1_000_000),
    "router.addresses": _addresses,
    "router.port": _between(0, 65535),
    "router.workers": _between(1, 64),
    "postgres.ports": _range(1024, 65535),
    "postgres.uids": _range(1000, 2_000_000_000),
    "postgres.pool": _between(0, 1000),
    "postgres.memory_gib": _between(0, 1_000_000),
    "postgres.require": _protections,
    "backup.archive": _archive,
    "backup.interval_hours": _between(0.01, 24 * 365),
    "backup.retention_days": _between(0, 9999),
    "backup.keep_after_delete_days": _between(0, 9999),
    "backup.chain": _between(0, 1000),
    "backup.rate_mib": _between(0, 1024),
    "backup.parallel": _between(1, 64),
    "backup.spool_gib": _between(0.1, 10_000),
    "backup.drill_interval_days": _between(0, 3650),
    "backup.drill_parallel": _between(1, 16),
    "quota.services": _between(0, MOST),
    "quota.storage_gib": _between(0, MOST),
}
"""The rule of a key beyond its type, by its name."""
