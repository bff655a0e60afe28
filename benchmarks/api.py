"""Requests per second of the API and how long they take, beside a bare FastAPI handler in the same run.

    python benchmarks/api.py [--rounds 5] [--seconds 3] [--connections 16] [--services 1000] [--json FILE]

Each round measures every contestant once, one after the other:

- ``bare get``: FastAPI with HTTP Basic and one read by primary key from SQLite, on uvicorn: what is given
- ``get``: a service by its id
- ``list``: all of ``--services`` in one page
- ``create``: accepted, which is stored durably, with a certificate authority of its own; 4 connections

Howdah's whole API answers, over an engine without Postgres. Server and client have a process each.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvloop
from serving.load import Rate, Request, measure

SERVING = Path(__file__).parent / "serving"
NEW = {"name": "my postgres", "provider": "aws", "region": "us-west-2", "size": "r8gd.large"}
CREATING = 4
"""Connections that create: each waits for a disk."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=3)
    options.add_argument("--connections", type=int, default=16)
    options.add_argument("--services", type=int, default=1000)
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="hwd-bench-") as top, contextlib.ExitStack() as ending:
        state = Path(top) / "state"
        howdah = ending.enter_context(served("whole.py", str(state), str(asked.services)))
        # Creates go elsewhere: they must not make the list longer.
        other = ending.enter_context(served("whole.py", f"{state}-of-creates", "1"))
        bare = ending.enter_context(served("bare.py", str(Path(top) / "bare.db")))
        contestants = {
            "bare get": (bare, request(bare, "GET", f"/{bare['id']}"), asked.connections),
            "get": (howdah, request(howdah, "GET", f"/{howdah['id']}"), asked.connections),
            "list": (howdah, request(howdah, "GET", ""), asked.connections),
            "create": (other, request(other, "POST", "", NEW), CREATING),
        }
        rates: dict[str, list[Rate]] = {name: [] for name in contestants}
        for turn in range(asked.rounds + 1):
            for name, (server, sent, connections) in contestants.items():
                found = uvloop.run(measure(server["port"], sent, connections=connections, seconds=asked.seconds))
                if turn > 0:  # the first one warms all alike
                    rates[name].append(found)
    report(rates)
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(
            json.dumps({name: [asdict(one) for one in each] for name, each in rates.items()}, indent=1)
        )


@contextlib.contextmanager
def served(program: str, *arguments: str) -> Generator[dict[str, Any]]:
    """Where it listens, as it says itself."""
    command = [sys.executable, str(SERVING / program), *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.stdin.close()


def request(server: dict[str, Any], method: str, path: str, body: dict[str, Any] | None = None) -> Request:
    authorization = base64.b64encode(server["auth"].encode()).decode()
    return Request.of(method, server["path"] + path, authorization, json.dumps(body).encode() if body else b"")


def report(rates: dict[str, list[Rate]]) -> None:
    print(f"{'':10} {'a second':>10} {'min':>8} {'max':>8} {'p50 ms':>8} {'p99 ms':>8} {'of bare':>8}")
    bare = statistics.median(one.a_second for one in rates["bare get"])
    for name, each in rates.items():
        speed = [one.a_second for one in each]
        p50, p99 = (statistics.median(getattr(one, what) for one in each) for what in ("p50", "p99"))
        ratio = statistics.median(speed) / bare
        print(
            f"{name:10} {statistics.median(speed):10.0f} {min(speed):8.0f} {max(speed):8.0f}"
            f" {p50:8.2f} {p99:8.2f} {ratio:8.2f}"
        )


if __name__ == "__main__":
    main()
