#!/usr/bin/env python3
"""The longest time without an acknowledged write while a service changes its size, up and down.

    python benchmarks/resize.py [--rounds 10] [--postgres 18] [--json FILE]

For haType none, async and sync, in turns: one client writes through the service's name every 5 ms (and connects again
every 5 ms when its connection has ended) while a PATCH of ``size`` is asked for, until another server, or the same one
started anew, has acknowledged a write and all members are well again. What was acknowledged must all be there. A change
after which they are not well for a minute counts as failed, and a new service takes the place of that one.

Needs `make install` and, as root, the user howdah.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests"))
from backups.rounds import Target, say  # noqa: E402
from fixtures.server import Server  # noqa: E402
from standbys.howdah import Howdah  # noqa: E402
from standbys.writer import TimedOut, Writer, wait  # noqa: E402

HA_TYPES = ("none", "async", "sync")
SMALL, LARGE = "r8gd.large", "r8gd.xlarge"
MOST = 1.0
"""The target: seconds."""
LONGEST = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--postgres", default="18")
    parser.add_argument("--json", type=Path, default=TOP / "benchmarks" / "results" / "resize.json")
    given = parser.parse_args()
    load = [os.getloadavg()]
    gaps: dict[str, list[float]] = {}
    failed: list[str] = []
    with ExitStack() as ending:
        top = Path(tempfile.mkdtemp(prefix="hwd-bench-"))
        ending.callback(shutil.rmtree, top, ignore_errors=True)
        top.chmod(0o755)
        server = Server(top / "state").start()
        ending.callback(server.stop_everything)
        services = {one: Howdah(server, one, version=given.postgres, size=SMALL) for one in HA_TYPES}
        for turn in range(given.rounds):
            for ha_type in HA_TYPES:
                for direction, size in (("up", LARGE), ("down", SMALL)):
                    what = f"{ha_type}, {direction}"
                    try:
                        gaps.setdefault(what, []).append(gap(services[ha_type], size))
                    except TimedOut as error:
                        failed.append(f"turn {turn + 1}, {what}: {error}")
                        services[ha_type] = Howdah(server, ha_type, version=given.postgres, size=SMALL)
            say(f"turn {turn + 1} of {given.rounds}")
    load.append(os.getloadavg())
    targets = [Target(f"{what}: seconds at worst", max(each), MOST) for what, each in gaps.items() if each]
    print(table(gaps.items()))
    print("\n".join([*map(str, targets), f"{len(failed)} changes failed", *failed]))
    print("load " + " to ".join(" ".join(f"{one:.1f}" for one in each) for each in load))
    given.json.parent.mkdir(parents=True, exist_ok=True)
    summary = {"cores": os.cpu_count(), "rounds": given.rounds, "load": load, "seconds": gaps, "failed": failed}
    given.json.write_text(json.dumps(summary, indent=1) + "\n")


def gap(service: Howdah, size: str) -> float:
    """Seconds."""
    writer = Writer(service.target)
    with writer.writing():
        time.sleep(0.3)
        former, asked = writer.acknowledged[-1].server, time.monotonic()
        service.resize(size)
        writer.first_of_another(former, within=LONGEST)
        wait("all members are well again", service.well, within=LONGEST)
    if lost := writer.lost():
        raise SystemExit(f"{service.ha_type}: {lost} acknowledged writes are lost")
    return writer.longest_gap(asked)


def table(gaps: Iterable[tuple[str, list[float]]]) -> str:
    lines = [f"{'longest gap, ms':18} {'median':>8} {'worst':>8} {'rounds':>7}"]
    lines += [
        f"{what:18} {statistics.median(each) * 1000:8,.0f} {max(each) * 1000:8,.0f} {len(each):7}"
        for what, each in gaps
        if each
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
