"""Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

CONTENT_TYPE = "text/plain; version=0.0.4; charset=UTF-8"

T = TypeVar("T")
Sample = tuple[Mapping[str, str], float]
"""Labels of its own, and the value."""

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class Family(Generic[T]):
    """A metric. ``read``: what it is for one subject; nothing where that is not known."""

    name: str
    kind: Kind
    help: str
    read: Callable[[T], Iterable[Sample]]


def exposition(families: Sequence[Family[T]], subjects: Sequence[tuple[Mapping[str, str], T]]) -> str:
    """``subjects``: each with the labels that all of its samples carry. A family without samples is left out."""
    prefixes = [(_labels(labels), subject) for labels, subject in subjects]
    return "".join(line for family in families for line in _family(family, prefixes))


def _family(family: Family[T], subjects: Sequence[tuple[str, T]]) -> Iterator[str]:
    lines = [
        f"{family.name}{{{prefix}{',' if own else ''}{_labels(own)}}} {_number(value)}\n"
        for prefix, subject in subjects
        for own, value in family.read(subject)
    ]
    if lines:
        yield f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n"
        yield from lines


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(round(value, 6))
