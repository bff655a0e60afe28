"""A history of appends and reads by several clients, and whether one list for each key explains all of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum


class Outcome(Enum):
    """Of an append, as its client knows it. FAILED: definitely rolled back, or never sent. UNKNOWN: the connection was
    lost on the way, or the server said that nobody else may have it."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Append:
    """``began``, ``ended``: on one clock for all clients."""

    key: int
    number: int
    outcome: Outcome
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Read:
    """One that was answered."""

    key: int
    items: tuple[int, ...]
    began: float
    ended: float


Operation = Append | Read


def check(operations: Iterable[Operation], final: Mapping[int, Sequence[int]]) -> list[str]:
    """Everything that is wrong, in words. ``final``: the lists when all is over."""
    appends: dict[int, list[Append]] = defaultdict(list)
    reads: dict[int, list[Read]] = defaultdict(list)
    for one in operations:
        if isinstance(one, Append):
            appends[one.key].append(one)
        else:
            reads[one.key].append(one)
    wrong: list[str] = []
    for key in sorted({*appends, *reads, *final}):
        items = tuple(final.get(key, ()))
        wrong += [f"key {key}: {found}" for found in _check_final(appends[key], items)]
        wrong += [f"key {key}: {found}" for found in _check_reads(appends[key], reads[key], items)]
    return wrong


def _check_final(appends: list[Append], items: tuple[int, ...]) -> list[str]:
    tried = {one.number: one for one in appends}
    place = {number: at for at, number in enumerate(items)}
    wrong = [f"{number} is there {items.count(number)} times" for number in place if items.count(number) > 1]
    wrong += [f"nobody has appended {number}" for number in place if number not in tried]
    for number, one in tried.items():
        if one.outcome is Outcome.OK and number not in place:
            wrong.append(f"{number} was acknowledged at {one.ended:.3f} and is lost")
        if one.outcome is Outcome.FAILED and number in place:
            wrong.append(f"{number} was rolled back at {one.ended:.3f} and is there")
    # What had ended before something else began comes before it.
    there = sorted((one for one in appends if one.number in place), key=lambda one: one.began)
    done = sorted((one for one in there if one.outcome is Outcome.OK), key=lambda one: one.ended)
    last: Append | None = None
    for later in there:
        while done and done[0].ended < later.began:
            earlier = done.pop(0)
            last = earlier if last is None or place[earlier.number] > place[last.number] else last
        if last is not None and place[last.number] > place[later.number]:
            wrong.append(f"{later.number} began at {later.began:.3f} after {last.number} had ended and is before it")
    return wrong


def _check_reads(appends: list[Append], reads: list[Read], items: tuple[int, ...]) -> list[str]:
    vanished = {one.number for one in appends if one.outcome is Outcome.UNKNOWN} - set(items)
    reads = [_kept(one, vanished) for one in reads]
    wrong = [
        f"a read at {one.ended:.3f} shows {one.items}, which does not begin {items}"
        for one in reads
        if one.items != items[: len(one.items)]
    ]
    # Until where a list is known to have been at a time, by appends and reads that had ended by then.
    place = {number: at for at, number in enumerate(items)}
    known = [(one.ended, len(one.items), "a read") for one in reads]
    known += [
        (one.ended, place[one.number] + 1, f"the append of {one.number}")
        for one in appends
        if one.outcome is Outcome.OK and one.number in place
    ]
    known.sort()
    longest, by, at = 0, "", 0
    for one in sorted(reads, key=lambda one: one.began):
        while at < len(known) and known[at][0] < one.began:
            if known[at][1] > longest:
                _, longest, by = known[at]
            at += 1
        if len(one.items) < longest:
            wrong.append(
                f"a read from {one.began:.3f} on shows {len(one.items)} items; {by} had shown {longest} before"
            )
    return wrong


def _kept(read: Read, vanished: set[int]) -> Read:
    """Without what it showed last and was lost before anybody was told that it is there: a commit shows once nobody
    waits for a standby any more, be it that its server has it from before a crash, or that its postmaster has died."""
    kept = len(read.items)
    while kept and read.items[kept - 1] in vanished:
        kept -= 1
    return replace(read, items=read.items[:kept])
