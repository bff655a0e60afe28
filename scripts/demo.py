"""The demonstration: starts a server, plays the story with real commands, says how long each took, cleans up.

Run by scripts/demo, which says where Postgres' programs are. Exits 0 only when every step did what it should.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PYTHON = sys.executable
START_SECONDS = 120
STEP_SECONDS = 60
SERVICE = '"$API_URL/v1/organizations/$ORG_ID/postgres/$PG_ID"'
USER = '--user "$KEY_ID:$KEY_SECRET"'


@dataclass(frozen=True, slots=True)
class Step:
    """``title``: what happens; ``command``: shell, shown and run; ``expected``: what must be in its output.
    ``setting``: a shell variable that its last line of output becomes, for the steps after it."""

    title: str
    command: str
    expected: str
    setting: str | None = None


STEPS = (
    Step(
        "Create",
        f"""\
created=$(curl -s {USER} -H 'Content-Type: application/json' \\
  "$API_URL/v1/organizations/$ORG_ID/postgres" -d '{{
    "name": "my postgres", "provider": "aws", "region": "us-west-2",
    "postgresVersion": "18", "size": "r8gd.large", "storageSize": 118
  }}')
jq . <<<"$created"; jq -r .result.id <<<"$created\"""",
        '"state": "creating"',
        setting="PG_ID",
    ),
    Step(
        "Read, until it is running",
        f"""\
until curl -s {USER} {SERVICE} \\
  | jq -e '.result.state == "running"' >/dev/null; do sleep 0.2; done
curl -s {USER} {SERVICE} | jq .result.state""",
        '"running"',
    ),
    Step(
        "Connect with the connection string, as it stands",
        f"""\
psql "$(curl -s {USER} {SERVICE} | jq -r .result.connectionString)" -X \\
  -c '\\conninfo' -c 'create table kept as select 41 + 1 as answer' -c 'table kept'""",
        "42",
    ),
    Step(
        "Tag",
        f"""\
curl -sX PATCH {USER} -H 'Content-Type: application/json' \\
  {SERVICE} \\
  -d '{{"tags": [{{"key": "Environment", "value": "production"}}]}}' | jq -c .result.tags""",
        '[{"key":"Environment","value":"production"}]',
    ),
    Step(
        "Delete, until it is gone",
        f"""\
curl -sX DELETE {USER} {SERVICE} | jq
until curl -s {USER} {SERVICE} | jq -e '.status == 404' >/dev/null; do sleep 0.2; done
curl -s {USER} {SERVICE} | jq""",
        '"status": 404',
    ),
)


def main() -> int:
    began = time.monotonic()
    # Short, because Unix sockets lie below it; open to others, because servers run as OS users of their own.
    top = Path(tempfile.mkdtemp(prefix="howdah-demo-"))
    top.chmod(0o755)
    try:
        with _server(top) as environment:
            _say(f"A server of its own is ready ({time.monotonic() - began:.2f} s)")
            done = all(_play(step, environment) for step in STEPS)
            if not done:
                doctor = [PYTHON, "-m", "howdah", "doctor", "--state", str(top / "state")]
                subprocess.run(doctor, env=environment, check=False)
    finally:
        shutil.rmtree(top, ignore_errors=True)
    if done:
        _say(f"Done in {time.monotonic() - began:.1f} s; server, router, Postgres and state are gone again.")
        print("Your own: make serve, then see README.md")
    return 0 if done else 1


@contextmanager
def _server(top: Path) -> Iterator[dict[str, str]]:
    """A running server; the environment of the steps."""
    state, log = top / "state", top / "serve.log"
    command = [PYTHON, "-m", "howdah", "serve", "--state", str(state), "--api-port", "0", "--postgres-port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        _await_ready(process, log)
        yield os.environ | _credentials(state) | {"PATH": f"{_with_psql(top)}:{os.environ['PATH']}"}
    finally:
        stopped = subprocess.run(
            [PYTHON, "-m", "howdah", "stop", "--state", str(state)], capture_output=True, text=True, check=False
        )
        if process.poll() is None:
            process.kill()
        process.wait()
        signal.signal(signal.SIGTERM, previous)
        if stopped.returncode != 0 and state.exists():
            print(stopped.stderr, file=sys.stderr)


def _await_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    said = 0
    while "is ready." not in (text := log.read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the server did not start:\n{text}")
        lines = [line for line in text.splitlines() if not line.startswith("{")]
        for line in lines[said:]:
            print(f"  {line}", flush=True)  # long steps of a first start
        said = len(lines)
        time.sleep(0.02)


def _credentials(state: Path) -> dict[str, str]:
    lines = (state / "bootstrap.env").read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def _with_psql(top: Path) -> Path:
    """A directory with a psql: the one of the binaries, with their libraries."""
    root = max(Path(os.environ["HOWDAH_POSTGRES_BINARIES"]).glob("18*"))
    directory = top / "bin"
    directory.mkdir()
    psql = directory / "psql"
    psql.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{root}/lib" exec "{root}/bin/psql" "$@"\n')
    psql.chmod(0o755)
    return directory


def _play(step: Step, environment: dict[str, str]) -> bool:
    """Runs a step; whether it did what it should."""
    _say(step.title)
    print(textwrap.indent(step.command, "  ").replace("  ", "$ ", 1))
    began = time.monotonic()
    ran = subprocess.run(
        ["timeout", str(STEP_SECONDS), "bash", "-c", f"set -o pipefail\n{step.command}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    print(textwrap.indent(ran.stdout.rstrip(), "  "))
    print(f"  ({seconds:.2f} s)", flush=True)
    if step.setting:
        environment[step.setting] = ran.stdout.splitlines()[-1] if ran.stdout else ""
    if ran.returncode == 0 and step.expected in ran.stdout:
        return True
    took = " (it took too long)" if ran.returncode == 124 else ""
    print(f"This step failed: status {ran.returncode}{took}, expected {step.expected!r} in its output", file=sys.stderr)
    return False


def _say(text: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}{text}{plain}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
