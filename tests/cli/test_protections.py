"""``postgres.require``: what the operator insists on. What protects here is different on every machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from fixtures.command import howdah

from howdah.domain.settings import PROTECTIONS
from howdah.launcher.protections import missing


def findings(state: Path, **env: str) -> dict[str, dict[str, str]]:
    said = howdah("doctor", "--json", "--state", str(state), **env)
    return {finding["check"]: finding for finding in json.loads(said.stdout)}


def test_what_is_missing_is_named_one_by_one_and_a_start_refused(tmp_path: Path) -> None:
    state = tmp_path / "none"
    absent = missing(state)
    if not absent:
        pytest.skip("this machine lacks nothing")
    said = howdah("serve", "--state", str(state), HOWDAH_POSTGRES_REQUIRE=",".join(PROTECTIONS))
    assert said.returncode == 1
    assert "postgres.require asks for what this machine does not have" in said.stderr
    for name, reason in absent.items():
        assert f"{name}: {reason}" in said.stderr
    assert not state.exists()


def test_doctor_fails_for_what_is_required_and_warns_of_the_rest(tmp_path: Path) -> None:
    absent = missing(tmp_path)
    checks = {"users": "isolation", "limits": "resource limits", "egress": "egress rules"}
    checks |= {"cgroups": "control groups", "quota": "disk quota"}
    if os.geteuid() != 0:
        checks |= dict.fromkeys(("egress", "cgroups", "quota"), "isolation")
    lacks = {check for name, check in checks.items() if name in absent}
    for required, level in ((",".join(checks), "fail"), ("", "warn")):
        found = findings(tmp_path, HOWDAH_POSTGRES_REQUIRE=required)
        for check in checks.values():
            shown = found.get(check, {"level": "ok"})["level"]
            assert shown == (level if check in lacks else "ok"), check


def test_a_name_that_is_none_is_refused_with_those_that_are(tmp_path: Path) -> None:
    said = howdah("doctor", "--state", str(tmp_path), HOWDAH_POSTGRES_REQUIRE="firewall")
    assert said.returncode == 1
    assert (
        "postgres.require (environment variable HOWDAH_POSTGRES_REQUIRE) names 'firewall'; what can be required:"
        " users, limits, egress, cgroups, quota"
    ) in said.stderr
