"""The figures of all services' backups in a few words, with the service that is worst."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from howdah.cli.checks.finding import Finding, ok
from howdah.cli.output import size

Figures = Mapping[str, Any]


def check_backups(health: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """``health``: of all services, as the server tells of it. Nothing where none has backups."""
    found = [(str(one["name"]), one["backups"]) for one in health if one.get("backups") is not None]
    if found:
        yield ok("backups", ", ".join(_archived(found)))
        yield ok("drills", ", ".join(_verified(found)))


def _archived(found: Sequence[tuple[str, Figures]]) -> Iterator[str]:
    backed_up = [one for one in found if one[1]["lastBackupAt"] is not None]
    if backed_up:
        name, figures = _worst(backed_up, lambda one: one["lastBackupAgeSeconds"])
        yield f"the oldest last one is {_age(figures['lastBackupAgeSeconds'])} old ({name})"
    if missing := len(found) - len(backed_up):
        yield f"{missing} without one"
    name, figures = _worst(found, lambda one: one["lagSeconds"])
    lag = f"the archive is at most {figures['lagSeconds']:.1f} s behind"
    yield f"{lag} ({name})" if figures["lagSeconds"] else lag
    yield f"{size(_sum(found, 'waitingBytes'))} of WAL on its way"
    yield f"{size(_sum(found, 'spoolBytes'))} in the spool"
    yield f"{size(_sum(found, 'storedBytes'))} stored"
    gaps = _sum(found, "gaps")
    where = [name for name, figures in found if figures["gaps"]]
    yield f"{gaps} {'gap' if gaps == 1 else 'gaps'} ({', '.join(where[:5])})" if gaps else "no gaps"


def _verified(found: Sequence[tuple[str, Figures]]) -> Iterator[str]:
    verified = [one for one in found if one[1]["lastVerifiedRestoreAt"] is not None]
    if verified:
        name, figures = _worst(verified, _verified_age)
        yield f"the oldest last restore that was verified is {_age(_verified_age(figures))} old ({name})"
    never = len(found) - len(verified)
    yield f"{never} of {len(found)} never verified" if never else "all verified"


def _worst(found: Sequence[tuple[str, Figures]], by: Callable[[Figures], float]) -> tuple[str, Figures]:
    return max(found, key=lambda one: by(one[1]))


def _sum(found: Sequence[tuple[str, Figures]], name: str) -> int:
    return sum(figures[name] for _, figures in found)


def _verified_age(figures: Figures) -> float:
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(figures["lastVerifiedRestoreAt"])).total_seconds())


def _age(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"
