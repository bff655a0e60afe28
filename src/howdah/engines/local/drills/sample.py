"""Which tables and indexes a drill looks into: all of few, else the largest and random ones. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

RELATIONS = 1000
BYTES = 2 << 30
"""Of all databases of a service together. Page checksums, which are checked everywhere, cost a tenth of it by byte."""

BLOCK = 8192


@dataclass(frozen=True, slots=True)
class Relation:
    """``name``: with its schema. ``size``: bytes of its main fork. ``index``: a B-tree, else a heap."""

    database: str
    oid: int
    name: str
    size: int
    index: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What of a relation is looked into: ``blocks`` from ``first`` on; of an index all."""

    relation: Relation
    first: int
    blocks: int


def choose(found: Sequence[Relation], random: Random, *, relations: int = RELATIONS, size: int = BYTES) -> list[Look]:
    """Half of what may be looked into goes to the largest, the rest to random ones. Of a heap that is too large a
    part is chosen, a tenth of all at most; an index that is too large is left out."""
    by_size = sorted(found, key=lambda one: one.size, reverse=True)
    largest = by_size[: relations // 2]
    others = by_size[relations // 2 :]
    random.shuffle(others)
    chosen: list[Look] = []
    left = size
    for share, candidates in ((size // 2, largest), (size, others + largest)):
        until = size - share
        for one in candidates:
            if len(chosen) == relations:
                return chosen
            if any(look.relation == one for look in chosen):
                continue
            look = _look(one, left - until, size // 10, random)
            if look is not None:
                chosen.append(look)
                left -= look.blocks * BLOCK
    return chosen


def _look(one: Relation, left: int, part: int, random: Random) -> Look | None:
    blocks = -(-one.size // BLOCK)
    if one.size <= left:
        return Look(one, 0, blocks)
    most = min(left, part) // BLOCK
    if one.index or most < 1:
        return None
    return Look(one, random.randrange(blocks - most + 1), most)
