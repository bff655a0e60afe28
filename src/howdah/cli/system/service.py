"""``howdah system install``, ``uninstall`` and ``status``: Howdah as a service that systemd runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Annotated, Any

import typer

from howdah.cli.options import ConfigOption, JsonOption, StateOption
from howdah.cli.output import note, show_fields, show_json
from howdah.cli.settings import settings_for
from howdah.cli.system.units import CONFIGURATION, DIRECTORY, NAMES, first_configuration, unit_files
from howdah.domain.errors import SetupError

RUNNING_SYSTEMD = Path("/run/systemd/system")
"""It is there when systemd is what runs this machine: sd_booted(3)."""
SYSTEMCTL_SECONDS = 900
"""The first start fetches and initialises Postgres."""
SHOWN = ("LoadState", "UnitFileState", "ActiveState", "SubState", "MainPID")

RootOption = Annotated[
    Path | None,
    typer.Option("--root", metavar="DIR", help="Write files below DIR and do nothing else.", show_default=False),
]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def install(
    config: ConfigOption = None, state: StateOption = None, root: RootOption = None, dry_run: DryOption = False
) -> None:
    """Have systemd run Howdah: control plane and router, now and whenever the machine starts. As root.

    Writes two units, and a configuration where there is none. Safe to repeat, after an upgrade for example.
    """
    file = (config or CONFIGURATION).absolute()
    there = _below(root, file)
    directory = settings_for(state, there if there.exists() else None).state
    wanted = unit_files(file, directory)
    if not there.exists():
        wanted[file] = first_configuration(directory)
    if root is None and not dry_run:
        _require_systemd()
        _require_root()
        _check_machine(directory)
    for path, content in wanted.items():
        _write(_below(root, path), content, dry_run=dry_run)
    for command in (["daemon-reload"], ["enable", "--now", *NAMES]):
        _systemctl(command, say_only=dry_run or root is not None)
    if root is None and not dry_run:
        note("Howdah runs as a service. Its log: journalctl -u howdah; credentials: howdah env")
        note("If it ran before, this was not restarted: systemctl restart howdah (no connection is dropped)")


def uninstall(root: RootOption = None, dry_run: DryOption = False) -> None:
    """Take the units away again. The state directory, the configuration and the user howdah stay. As root."""
    if root is None and not dry_run:
        _require_systemd()
        _require_root()
    present = [name for name in NAMES if _below(root, DIRECTORY / name).exists()]
    if not present:
        note("Howdah is not installed as a service")
        return
    _systemctl(["disable", "--now", *present], say_only=dry_run or root is not None)
    for name in present:
        _remove(_below(root, DIRECTORY / name), dry_run=dry_run)
    _systemctl(["daemon-reload"], say_only=dry_run or root is not None)
    note(
        f"The state directory with everything in it, {CONFIGURATION} and the user howdah stay."
        " Postgres servers that run go on running, without a router: howdah stop ends them."
    )


def status(as_json: JsonOption = False) -> None:
    """Whether systemd runs Howdah. Exit status 1 when it does not."""
    _require_systemd()
    units = {name: _show(name) for name in NAMES}
    if as_json:
        show_json(units)
    else:
        show_fields({name: _sentence(facts) for name, facts in units.items()})
    if any(facts["ActiveState"] != "active" for facts in units.values()):
        raise SystemExit(1)


def _sentence(facts: dict[str, str]) -> str:
    if facts["LoadState"] == "not-found":
        return "not installed: howdah system install"
    pid = f", pid {facts['MainPID']}" if facts["MainPID"] != "0" else ""
    return f"{facts['ActiveState']} ({facts['SubState']}), {facts['UnitFileState']}{pid}"


def _show(unit: str) -> dict[str, str]:
    said = _run(["show", unit, f"--property={','.join(SHOWN)}"])
    return dict.fromkeys(SHOWN, "") | dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def _require_systemd() -> None:
    if not RUNNING_SYSTEMD.is_dir():
        first = Path("/proc/1/comm").read_text().strip()
        raise SetupError(
            f"this machine is not run by systemd (its first process is {first}): have whatever starts services here run"
            " 'howdah serve' as root; the units can be looked at with --dry-run, or written elsewhere with --root DIR"
        )


def _require_root() -> None:
    if os.geteuid() != 0:
        raise SetupError("services of the system are installed by root: sudo howdah system …")


def _check_machine(state: Path) -> None:
    from howdah.cli.processes import control_plane
    from howdah.launcher.split import check_program, require_system_user

    check_program()
    require_system_user()
    pid = control_plane(state)
    if pid is not None and _show("howdah.service")["MainPID"] != str(pid):
        raise SetupError(
            f"a Howdah that was started otherwise (pid {pid}) serves {state}; end it first: kill {pid}"
            " (services and connections go on, and the service takes them over)"
        )


def _below(root: Path | None, path: Path) -> Path:
    return path if root is None else root.absolute() / path.relative_to("/")


def _write(path: Path, content: str, *, dry_run: bool) -> None:
    if path.exists() and path.read_text() == content:
        note(f"{path} is as it should be")
        return
    note(f"{'would write' if dry_run else 'writing'} {path}")
    if dry_run:
        print(content)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        aside = path.with_name(f".{path.name}.new")
        aside.write_text(content)
        aside.chmod(0o644)
        aside.replace(path)
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}") from None


def _remove(path: Path, *, dry_run: bool) -> None:
    note(f"{'would remove' if dry_run else 'removing'} {path}")
    if not dry_run:
        path.unlink(missing_ok=True)


def _systemctl(arguments: list[str], *, say_only: bool) -> None:
    note(f"{'to do: ' if say_only else ''}systemctl {' '.join(arguments)}")
    if not say_only:
        _run(arguments)


def _run(arguments: list[str]) -> str:
    command: list[Any] = ["systemctl", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SYSTEMCTL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"systemctl {arguments[0]}: {error}") from None
    if done.returncode != 0:
        raise SetupError(
            f"systemctl {' '.join(arguments)} failed: {done.stderr.strip()}; why: journalctl -u howdah -u howdah-router"
        )
    return done.stdout
