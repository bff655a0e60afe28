"""Steps that fail: said once, tried again ever later, and told to users in words that are safe to show."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from howdah.domain.ids import ServiceId
from howdah.launcher.layout import InstancePaths

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 10.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Trouble:
    step: str
    problem: str
    times: int


class Troubles:
    """The last failed step of each service, until one succeeds."""

    def __init__(self) -> None:
        self._last: dict[ServiceId, _Trouble] = {}

    def failed(self, service: ServiceId, step: str, problem: str) -> None:
        """Logged when it is another failure than the last one."""
        before = self._last.get(service)
        if before is None or (before.step, before.problem) != (step, problem):
            _log.warning("a step failed; it is tried again", service=str(service), step=step, error=problem)
        self._last[service] = _Trouble(step, problem, before.times + 1 if before is not None else 1)

    def over(self, service: ServiceId) -> None:
        self._last.pop(service, None)

    def wait(self, service: ServiceId) -> float:
        """Seconds until the failed step should be tried again."""
        times = self._last[service].times if service in self._last else 1
        return min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(times - 1, 16))


def presentable(reason: str, paths: InstancePaths) -> str:
    """For its user: one line, nothing that a terminal obeys (a tenant writes its own log), no place on this machine."""
    for directory in (paths.home, paths.sockets):
        reason = reason.replace(f"{directory}/", "").replace(str(directory), "its directory")
    return "".join(character if character.isprintable() else " " for character in reason)
