#!/usr/bin/env python3
"""Failovers and switchovers of services with standbys, beside Patroni with etcd, all in one run.

    python benchmarks/failover.py [--rounds 30] [--tuned 10] [--default 3] [--switchovers 10] [--postgres 18]
                                  [--without-patroni] [--json FILE]

One client writes through the service's name, every 5 ms, and connects again every 5 ms when its connection has ended.

- **failover**: kill -9 of the primary's postmaster, at any moment, to the first write that another server (or the same
  one, started anew) acknowledges.
- **switchover**: the longest time between two acknowledgements while another member becomes the primary because it was
  asked to: Howdah's command ``switchover``, ``patronictl switchover --force``.

For haType sync (3 members, one of two standbys has to acknowledge) and async (2 members), each beside Patroni with as
many members and the same programs of Postgres, with two settings: the least that it takes (ttl 20, loop_wait 1,
retry_timeout 3, and primary_start_timeout 0: no restart in place), and its defaults (30, 10, 10, 300). All contestants
run all the time and take turns; Patroni has fewer rounds than Howdah, because each of its own takes longer. Its clients
find the primary by libpq's list of hosts with target_session_attrs=read-write, without TLS and passwords; Howdah's go
through the router with both.

After each round all members are well again, and what was acknowledged is looked for: it must all be there in sync mode.

Needs `make install` and, as root, the user howdah; for Patroni etcd (Debian: etcd-server). Downloads Patroni into a
virtual environment of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests"))
from backups.machine import Machine  # noqa: E402
from backups.rounds import say  # noqa: E402
from fixtures.server import CACHE, Server  # noqa: E402
from standbys.cluster import LONGEST, MEMBERS, Cluster  # noqa: E402
from standbys.howdah import Howdah  # noqa: E402
from standbys.patroni import DEFAULT, TUNED, Etcd, Patroni, missing  # noqa: E402
from standbys.writer import Writer, wait  # noqa: E402

HOWDAH, PATRONI_TUNED, PATRONI_DEFAULT = "howdah", "patroni, tuned", "patroni, defaults"
RECORDED = ("detectionMs", "fencingMs", "promotionMs", "firstWriteMs")


@dataclass
class Measured:
    """Seconds of each round; how many writes were acknowledged in all, and how many of those were lost. in_place: after
    how many failures the same server was started anew. records: Howdah's own, of its failovers."""

    failovers: list[float] = field(default_factory=list)
    switchovers: list[float] = field(default_factory=list)
    acknowledged: int = 0
    lost: int = 0
    in_place: int = 0
    records: list[dict[str, float]] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--tuned", type=int, default=10)
    parser.add_argument("--default", type=int, default=3)
    parser.add_argument("--switchovers", type=int, default=10)
    parser.add_argument("--postgres", default="18")
    parser.add_argument("--without-patroni", action="store_true")
    parser.add_argument("--json", type=Path, default=TOP / "benchmarks" / "results" / "failover.json")
    given = parser.parse_args()
    if not given.without_patroni and (lacking := missing()):
        raise SystemExit(f"Patroni needs {lacking}: install it, or say --without-patroni")
    load = [os.getloadavg()]
    with ExitStack() as ending:
        top = Path(tempfile.mkdtemp(prefix="hwd-bench-"))
        ending.callback(shutil.rmtree, top, ignore_errors=True)
        top.chmod(0o755)
        bench = Bench(given, top, ending)
        bench.measure()
    load.append(os.getloadavg())
    print(table(bench.measured))
    print("load " + " to ".join(" ".join(f"{one:.1f}" for one in each) for each in load))
    given.json.parent.mkdir(parents=True, exist_ok=True)
    asked = {name: value for name, value in vars(given).items() if name != "json"}
    results = {f"{name}, {ha_type}": vars(one) for (name, ha_type), one in bench.measured.items()}
    summary = {"cores": os.cpu_count(), "asked": asked, "load": load, "results": results}
    given.json.write_text(json.dumps(summary, indent=1) + "\n")


class Bench:
    """``measured``: by contestant and haType."""

    def __init__(self, given: argparse.Namespace, top: Path, ending: ExitStack) -> None:
        self.given = given
        self.measured: dict[tuple[str, str], Measured] = {}
        server = Server(top / "state").start()
        ending.callback(server.stop_everything)
        machine = Machine(top, max((CACHE / "served" / "postgres").glob(f"{given.postgres}*")))
        self.howdahs = {ha_type: Howdah(server, ha_type, version=given.postgres) for ha_type in MEMBERS}
        self.patronis: dict[str, Patroni] = {}
        if not given.without_patroni:
            etcd = Etcd(machine)
            ending.callback(etcd.close)
            for ha_type in MEMBERS:
                self.patronis[ha_type] = Patroni(machine, etcd, ha_type, TUNED)
                ending.callback(self.patronis[ha_type].close)

    def measure(self) -> None:
        """Patroni's rounds with its least settings come with Howdah's first ones, those with its defaults with the
        last."""
        given = self.given
        defaults_from = max(given.tuned, given.rounds - given.default)
        for turn in range(given.rounds):
            peers = PATRONI_TUNED if turn < given.tuned else PATRONI_DEFAULT
            if turn == defaults_from:
                self._use_defaults()
            for ha_type in MEMBERS:
                self._round(HOWDAH, self.howdahs[ha_type], ha_type, switchover=turn < given.switchovers)
                if self.patronis and not given.tuned <= turn < defaults_from:
                    self._round(peers, self.patronis[ha_type], ha_type, switchover=turn < given.switchovers)
            say(f"turn {turn + 1} of {given.rounds}")

    def _use_defaults(self) -> None:
        for patroni in self.patronis.values():
            patroni.configure(DEFAULT)
        if self.patronis:
            time.sleep(DEFAULT["loop_wait"])

    def _round(self, name: str, cluster: Cluster, ha_type: str, *, switchover: bool) -> None:
        measured = self.measured.setdefault((name, ha_type), Measured())
        self._fail(cluster, measured)
        if switchover or name == PATRONI_DEFAULT:
            self._switch(cluster, measured)

    def _fail(self, cluster: Cluster, measured: Measured) -> None:
        name, pid = cluster.primary()
        writer = Writer(cluster.target)
        with writer.writing():
            time.sleep(random.uniform(0.3, 0.3 + cluster.period))
            former = writer.acknowledged[-1].server
            killed = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            first = writer.first_of_another(former, within=LONGEST)
            wait("all members are well again", cluster.well, within=LONGEST)
        measured.failovers.append(first.at - killed)
        if cluster.primary()[0] == name:
            measured.in_place += 1
        elif isinstance(cluster, Howdah):
            record = cluster.last_change()
            measured.records.append({key: record[key] for key in RECORDED})
        self._account(writer, measured)

    def _switch(self, cluster: Cluster, measured: Measured) -> None:
        writer = Writer(cluster.target)
        with writer.writing():
            time.sleep(random.uniform(0.3, 0.3 + cluster.period))
            former, asked = writer.acknowledged[-1].server, time.monotonic()
            cluster.switch_over()
            writer.first_of_another(former, within=LONGEST)
            wait("all members are well again", cluster.well, within=LONGEST)
        measured.switchovers.append(writer.longest_gap(asked))
        self._account(writer, measured)

    def _account(self, writer: Writer, measured: Measured) -> None:
        measured.acknowledged += len(writer.acknowledged)
        measured.lost += writer.lost()


def table(measured: dict[tuple[str, str], Measured]) -> str:
    columns = (
        "failover, ms",
        "worst",
        "rounds",
        "of howdah",
        "switchover, ms",
        "worst",
        "rounds",
        "of howdah",
        "lost",
        "in place",
    )
    lines = [f"{'':26} " + " ".join(f"{each:>14}" for each in columns)]
    for (name, ha_type), one in measured.items():
        ours = measured[HOWDAH, ha_type]
        cells = [*_cells(one.failovers, ours.failovers), *_cells(one.switchovers, ours.switchovers)]
        cells += [f"{one.lost} of {one.acknowledged}", one.in_place]
        lines.append(f"{f'{name}, {ha_type}':26} " + " ".join(f"{each:>14}" for each in cells))
    for ha_type in MEMBERS:
        records = measured[HOWDAH, ha_type].records
        medians = {key: statistics.median(one[key] for one in records) for key in RECORDED}
        lines.append(f"howdah's own record, {ha_type}, medians: {medians}")
    return "\n".join(lines)


def _cells(seconds: list[float], ours: list[float]) -> list[Any]:
    if not seconds:
        return ["", "", 0, ""]
    median = statistics.median(seconds)
    ratio = f"{median / statistics.median(ours):.1f}" if ours else ""
    return [f"{median * 1000:,.0f}", f"{max(seconds) * 1000:,.0f}", len(seconds), ratio]


if __name__ == "__main__":
    main()
