"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """``said``: what is. ``advice``: what to do about it; empty when there is nothing to do."""

    check: str
    level: Level
    said: str
    advice: str = ""


def ok(check: str, said: str) -> Finding:
    return Finding(check, Level.OK, said)


def warn(check: str, said: str, advice: str) -> Finding:
    return Finding(check, Level.WARN, said, advice)


def fail(check: str, said: str, advice: str) -> Finding:
    return Finding(check, Level.FAIL, said, advice)
