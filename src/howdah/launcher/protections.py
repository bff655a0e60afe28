"""What protects the machine and its services from each other here, and what does not and why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from howdah.domain.errors import SetupError
from howdah.launcher import cgroups, egress, limits, quota

_ROOT_ONLY = "only for a server that is started as root"


def missing(state: Path) -> dict[str, str]:
    """Why a protection is not there, by its name (``domain.settings.PROTECTIONS``); those that are there left out."""
    if os.geteuid() != 0:
        reasons = dict.fromkeys(("users", "egress", "cgroups", "quota"), _ROOT_ONLY) | {"limits": limits.missing()}
    else:
        reasons = {
            "limits": limits.missing(),
            "egress": egress.missing(),
            "cgroups": cgroups.missing(),
            "quota": quota.missing(state),
        }
    return {name: reason for name, reason in reasons.items() if reason is not None}


def check_required(required: Sequence[str], state: Path) -> None:
    """Before anything is started. Raises SetupError that names what is required and not there."""
    absent = missing(state) if required else {}
    problems = [f"{name}: {absent[name]}" for name in required if name in absent]
    if problems:
        raise SetupError(f"postgres.require asks for what this machine does not have; {'; '.join(problems)}")
