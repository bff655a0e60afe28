"""Ids of 128 bits with two spellings: a UUID (version 8) and a UBID, 26 characters that begin with their type.

Bits of an id, high to low: 48 random; 4 version = 1000; 2 random; 10 type (two characters of 5 bits); 2 variant = 10;
62 random. A UBID writes the 54 bits above the type and the 64 bits below it as two groups, each followed by a parity
bit, so that a mistyped character is noticed.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Self

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base32, lower case."""

_VALUES = {c: i for i, c in enumerate(ALPHABET)} | {"o": 0, "i": 1, "l": 1}
_VERSION = 0b1000
_VARIANT = 0b10
_LOW_BITS = 64
_TYPE_BITS = 10


def _encode(number: int, length: int) -> str:
    return "".join(ALPHABET[number >> (5 * i) & 31] for i in reversed(range(length)))


def _decode(text: str) -> int:
    number = 0
    for character in text:
        number = number << 5 | _VALUES[character]
    return number


@lru_cache(maxsize=8192)
def _ubid(prefix: str, number: int) -> str:
    high = number >> (_LOW_BITS + _TYPE_BITS)
    low = number & (1 << _LOW_BITS) - 1
    return prefix + _encode(_with_parity(high), 11) + _encode(_with_parity(low), 13)


@lru_cache(maxsize=8192)
def _number(ubid: str) -> int:
    """Raises ValueError."""
    try:
        kind, high, low = _decode(ubid[:2]), _decode(ubid[2:13]), _decode(ubid[13:])
    except KeyError as unknown:
        raise ValueError(f"{ubid!r} has a character outside Crockford's base32: {unknown}") from None
    if high.bit_count() & 1 or low.bit_count() & 1:
        raise ValueError(f"{ubid!r} has a wrong parity bit")
    return ((high >> 1) << _TYPE_BITS | kind) << _LOW_BITS | low >> 1


def _with_parity(group: int) -> int:
    return group << 1 | group.bit_count() & 1


@dataclass(frozen=True, slots=True, order=True)
class Id:
    """One id; subclasses say what it identifies by their two type characters."""

    uuid: uuid.UUID
    prefix: ClassVar[str]

    def __post_init__(self) -> None:
        number = self.uuid.int
        if number >> (_LOW_BITS) & (1 << _TYPE_BITS) - 1 != _decode(self.prefix):
            raise ValueError(f"{self.uuid} is not the id of a {type(self).__name__}")
        if number >> 76 & 0b1111 != _VERSION or number >> 62 & 0b11 != _VARIANT:
            raise ValueError(f"{self.uuid} is not a version 8 UUID")

    @classmethod
    def new(cls) -> Self:
        """A fresh random id."""
        high = secrets.randbits(48) << 6 | _VERSION << 2 | secrets.randbits(2)
        low = _VARIANT << 62 | secrets.randbits(62)
        return cls(uuid.UUID(int=(high << _TYPE_BITS | _decode(cls.prefix)) << _LOW_BITS | low))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The id that ``text`` spells, as a UBID or a UUID in its canonical form, in either case.

        Raises ValueError when it spells none: wrong length, alphabet, parity, type, version or variant.
        """
        # Before it is lowered: the Kelvin sign's lower case is a k.
        lowered = text.lower() if text.isascii() else ""
        if len(lowered) == 26:
            return cls.from_ubid(lowered)
        if len(lowered) == 36:
            found = uuid.UUID(lowered)
            if str(found) == lowered:
                return cls(found)
        raise ValueError(f"{text!r} is neither a UBID nor a UUID")

    @classmethod
    def from_ubid(cls, text: str) -> Self:
        return cls(uuid.UUID(int=_number(text)))

    @property
    def ubid(self) -> str:
        return _ubid(self.prefix, self.uuid.int)

    def __str__(self) -> str:
        return self.ubid


class ServiceId(Id):
    """A Postgres service."""

    __slots__ = ()
    prefix = "pg"


class InstanceId(Id):
    """One Postgres server of a service."""

    __slots__ = ()
    prefix = "pv"


class TimelineId(Id):
    """One line of backups and WAL."""

    __slots__ = ()
    prefix = "pt"
