"""Contestants in turns, so that noise of the machine meets all alike."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Times = dict[str, list[float]]


def rotated(contestants: Mapping[str, T], turn: int) -> Iterator[tuple[str, T]]:
    """Each once, beginning with another one in every turn."""
    names = list(contestants)
    first = turn % len(names)
    for name in names[first:] + names[:first]:
        yield name, contestants[name]


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ratio(of: list[float], to: list[float]) -> float:
    """The median of what each round says."""
    return statistics.median(a / b for a, b in zip(of, to, strict=True))


def say(text: str) -> None:
    """While it goes on."""
    print(f"{text}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Target:
    """``figure`` must be at most ``limit``."""

    what: str
    figure: float
    limit: float

    @property
    def met(self) -> bool:
        return self.figure <= self.limit

    def __str__(self) -> str:
        return f"{'met   ' if self.met else 'MISSED'}  {self.figure:8.2f}  {self.limit:6.2f}  {self.what}"
