"""What root must be allowed to do here: in a container it may be less than everything."""

from __future__ import annotations

from pathlib import Path

from howdah.domain.errors import SetupError

NEEDED = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8, "SYS_PTRACE": 19
}  # fmt: skip
"""Numbers are those of capabilities(7). SYS_PTRACE shows which program of another user runs in which directory; without
it no server would be found again."""


def check_capabilities(status: str | None = None) -> None:
    """Raises SetupError naming what is missing. ``status``: the text of /proc/self/status."""
    lines = (status or Path("/proc/self/status").read_text()).splitlines()
    effective = int(next(line.split()[1] for line in lines if line.startswith("CapEff:")), 16)
    if missing := [name for name, number in NEEDED.items() if not effective >> number & 1]:
        raise SetupError(
            f"started as root, but without the capabilities {', '.join(missing)}, without which Howdah can keep no"
            f" server of another user; in a container add them: {' '.join(f'--cap-add {name}' for name in missing)}"
        )
