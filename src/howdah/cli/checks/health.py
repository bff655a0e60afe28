"""Whether all services and their backups are as they should be, as the running server says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from howdah.cli.api import connect
from howdah.cli.checks.backups import check_backups
from howdah.cli.checks.finding import Finding, fail, ok, warn
from howdah.cli.processes import control_plane
from howdah.domain.errors import HowdahError
from howdah.domain.settings import Settings

_CHECK = "health"
_ADVICE = "howdah services health says more; docs/backups.md what each means"


def check_health(settings: Settings) -> Iterator[Finding]:
    """Nothing where no server runs, which another check says."""
    if control_plane(settings.state) is None:
        return
    try:
        found: list[dict[str, Any]] = connect(settings.state).health()
    except HowdahError as error:
        yield warn(_CHECK, f"the server does not say how services are: {error}", "see its log")
        return
    for service in found:
        if service["status"] != "ok":
            level = fail if service["status"] == "critical" else warn
            yield level(_CHECK, f"{service['name']} ({service['id']}): {'; '.join(service['reasons'])}", _ADVICE)
    if all(service["status"] == "ok" for service in found):
        yield ok(_CHECK, f"of {len(found)} {'service' if len(found) == 1 else 'services'}: all well")
    yield from check_backups(found)
