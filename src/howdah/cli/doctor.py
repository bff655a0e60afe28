"""``howdah doctor``: what is wrong, and what to do about it. Works without a running server."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from howdah.cli.options import ConfigOption, JsonOption, StateOption
from howdah.cli.output import show_json
from howdah.cli.settings import settings_for
from howdah.domain.settings import Settings

if TYPE_CHECKING:
    from howdah.cli.checks.finding import Finding

COLOURS = {"ok": "\033[32m", "warn": "\033[33m", "fail": "\033[31m"}
PLAIN = "\033[0m"


def doctor(state: StateOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check this machine and the state directory. Exit status 1 when something has failed."""
    findings = list(_findings(settings_for(state, config)))
    if as_json:
        show_json([dataclasses.asdict(finding) for finding in findings])
    else:
        for finding in findings:
            _show(finding)
    if any(finding.level == "fail" for finding in findings):
        raise typer.Exit(1)


def _findings(settings: Settings) -> Iterator[Finding]:
    from howdah.cli.checks.api_tls import check_api_tls
    from howdah.cli.checks.contents import check_contents
    from howdah.cli.checks.health import check_health
    from howdah.cli.checks.host import check_clock, check_disk, check_libraries, check_shared_memory
    from howdah.cli.checks.isolation import check_isolation
    from howdah.cli.checks.network import check_names, check_ports
    from howdah.cli.checks.ownerless import check_ownerless

    yield from check_ports(settings)
    yield from check_names(settings)
    yield from check_libraries(settings)
    yield from check_isolation(settings)
    yield from check_shared_memory()
    yield from check_disk(settings)
    yield from check_clock(settings)
    yield from check_api_tls(settings)
    yield from check_contents(settings)
    yield from check_ownerless(settings)
    yield from check_health(settings)


def _show(finding: Finding) -> None:
    level = f"{finding.level:<4}"
    if sys.stdout.isatty():
        level = COLOURS[finding.level] + level + PLAIN
    print(f"{level}  {finding.check}: {finding.said}")
    if finding.advice:
        print(f"      → {finding.advice}")
