"""What an idle service costs, and what many of them cost together, beside plain Postgres servers in the same run.

    python benchmarks/density.py [--steps 10,100,300] [--seconds 60] [--plain 10] [--json FILE]

At each step so many services exist, created at once, with backups; the first base backup of each is waited for. Then
they are left alone for ``--seconds``: processor time is counted over that, memory (PSS) at its end. Then the metrics of
all are scraped as often as a Prometheus does in as many minutes. Last the control plane is killed and started again
beside the services that run.

The peer: ``--plain`` servers made by initdb, with Howdah's settings and without a control plane, router or archive.

As root; needs `make install`. Each service takes about 20 MB of memory and 100 MB of disk.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from fixtures.server import NEW_SERVICE, Server
from fixtures.usage import GROUPS, Usage, between, look
from idle.plain import PlainServers

SCRAPES = 3
SCRAPE_SECONDS = 20
"""Between two scrapes: nothing is remembered from the last one then."""

SETTLING_SECONDS = 60
"""After the last base backup, until what followed from it has ended."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", default="10,100,300")
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--plain", type=int, default=10)
    options.add_argument("--json", type=Path)
    asked = options.parse_args()

    top = Path(tempfile.mkdtemp(prefix="hwd-bench-"))
    top.chmod(0o755)
    server = Server(top / "state", env={"HOWDAH_POSTGRES_POOL": "4", "HOWDAH_BACKUP_ARCHIVE": str(top / "archive")})
    with contextlib.ExitStack() as ending:
        ending.callback(shutil.rmtree, top, ignore_errors=True)
        (top / "archive").mkdir()
        shutil.chown(top / "archive", "howdah")
        server.start()
        ending.callback(server.stop_everything)
        figures = {"plain": measure_plain(top, asked.plain, asked.seconds)}
        print(f"{asked.plain} plain servers, idle:")
        report_idle(asked.plain, figures["plain"])
        for step in map(int, asked.steps.split(",")):
            figures[str(step)] = measure_step(server, step, asked.seconds)
            report(step, figures[str(step)])
        report_slopes(figures)
        figures["start"] = measure_start(server)
        print(f"\ncontrol plane killed and started again: ready after {figures['start']['seconds']:.1f} s")
        if asked.json:
            asked.json.parent.mkdir(parents=True, exist_ok=True)
            asked.json.write_text(json.dumps(figures, indent=1))


def measure_step(server: Server, count: int, seconds: float) -> dict[str, float]:
    """Seconds until all run, then what all together cost while idle."""
    began = time.perf_counter()
    have = len(server.call("GET", ""))
    with ThreadPoolExecutor(32) as pool:
        for made in [pool.submit(server.client.post, server.services, json=NEW_SERVICE) for _ in range(count - have)]:
            assert made.result().status_code == 200, made.result().text
    accepted = time.perf_counter() - began
    wait("all run", lambda: all(one["state"] == "running" for one in server.call("GET", "")))
    running = time.perf_counter() - began
    wait("all have a base backup", lambda: all("earliestRestoreTime" in one for one in server.call("GET", "")), 3600)
    backed_up = time.perf_counter() - began
    time.sleep(SETTLING_SECONDS)
    cost = idle(lambda: look(server.state, server.process.pid if server.process else 0), seconds)
    assert all(one["state"] == "running" for one in server.call("GET", "")), "not all stayed up"
    return {
        "accepted_s": accepted,
        "running_s": running,
        "backed_up_s": backed_up,
        **cost,
        **measure_scrapes(server, cost),
    }


def measure_scrapes(server: Server, rest: dict[str, float]) -> dict[str, float]:
    """Seconds and bytes of one scrape of all services, and the control plane's CPU for it beyond ``rest``."""
    pid = server.process.pid if server.process else 0
    before, began, waited, size = look(server.state, pid), time.perf_counter(), 0.0, 0
    for _ in range(SCRAPES):
        time.sleep(SCRAPE_SECONDS)
        asked = time.perf_counter()
        answer = server.client.get(f"{server.services}/prometheus", timeout=60)
        waited += time.perf_counter() - asked
        assert answer.status_code == 200, answer.text
        size = len(answer.content)
    seconds = time.perf_counter() - began
    cost = between(before, look(server.state, pid), seconds)
    # That of servers cannot be told: the processes that answer end.
    spent = (cost["control plane_percent"] - rest["control plane_percent"]) / 100 * seconds
    return {"scrape_s": waited / SCRAPES, "scrape_bytes": float(size), "scrape_cpu_s": spent / SCRAPES}


def measure_plain(top: Path, count: int, seconds: float) -> dict[str, float]:
    with PlainServers(top, count) as plain:
        return idle(plain.look, seconds)


def measure_start(server: Server) -> dict[str, float]:
    count = len(server.call("GET", ""))
    server.kill()
    began = time.perf_counter()
    server.start()
    wait("all run", lambda: all(one["state"] == "running" for one in server.call("GET", "")))
    return {"services": count, "seconds": time.perf_counter() - began}


def idle(observe: Callable[[], dict[str, Usage]], seconds: float) -> dict[str, float]:
    """MB of memory and percent of a core, by group of processes."""
    before, began = observe(), time.perf_counter()
    time.sleep(seconds)
    return between(before, observe(), time.perf_counter() - began)


def wait(what: str, probe: Callable[[], bool], within: float = 900) -> None:
    deadline = time.monotonic() + within
    while not probe():
        assert time.monotonic() < deadline, f"{what}: not within {within} s"
        time.sleep(0.25)


def report(count: int, figures: dict[str, float]) -> None:
    print(f"\n{count} services: accepted {figures['accepted_s']:.1f} s, running {figures['running_s']:.1f} s,")
    print(f"backed up {figures['backed_up_s']:.0f} s after the common start; idle:")
    report_idle(count, figures)
    megabytes, spent = figures["scrape_bytes"] / 1e6, figures["scrape_cpu_s"]
    print(f"a scrape of all: {figures['scrape_s']:.2f} s, {megabytes:.2f} MB, {spent:.2f} s of the control plane's CPU")


def report_idle(count: int, figures: dict[str, float]) -> None:
    print(f"{'':16} {'MB':>9} {'MB each':>9} {'% of a core':>12} {'each':>8}")
    for group in [name for name in GROUPS if f"{name}_mb" in figures]:
        memory, processor = figures[f"{group}_mb"], figures[f"{group}_percent"]
        print(f"{group:16} {memory:9.1f} {memory / count:9.2f} {processor:12.2f} {processor / count:8.3f}", flush=True)


def report_slopes(figures: dict[str, dict[str, float]]) -> None:
    """What one more service costs: least squares over the steps, with how straight the line is."""
    steps = [int(name) for name in figures if name.isdigit()]
    if len(steps) < 2:
        return
    print(f"\n{'one more service':16} {'MB':>9} {'linear':>7} {'% of a core':>12} {'linear':>7}")
    for group in GROUPS:
        slopes = [
            _slope(steps, [figures[str(step)][f"{group}_{unit}"] for step in steps]) for unit in ("mb", "percent")
        ]
        print(f"{group:16} {slopes[0][0]:9.3f} {slopes[0][1]:7.3f} {slopes[1][0]:12.4f} {slopes[1][1]:7.3f}")


def _slope(steps: list[int], values: list[float]) -> tuple[float, float]:
    """And the square of the correlation; 1 where nothing grows."""
    slope = statistics.linear_regression(steps, values).slope
    straight = statistics.correlation(steps, values) ** 2 if len(set(values)) > 1 else 1.0
    return slope, straight


if __name__ == "__main__":
    main()
