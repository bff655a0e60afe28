#!/usr/bin/env python3
"""Base backups, restores and continuous archiving, beside Postgres' own programs and barman, all in one run.

    python benchmarks/backup.py [--scale 65] [--rounds 3] [--seconds 30] [--turns 5] [--only backup|restore|archiving]
                                [--postgres 18] [--without-barman] [--json FILE]

Every round measures each contestant once, one after the other in changing order; ratios are medians of what the rounds
say. Everybody copies from the same server, over its Unix socket, as the same user.

1. **backup** of a database of ``--scale`` (pgbench -i -s; 65 is about 1 GB): from the request until Howdah shows it
   (full, HOWDAH_BACKUP_RATE_MIB=0), ``pg_basebackup -Ft``, the same with ``--compress=client-zstd:1`` (the limit),
   ``barman backup`` (backup_method=postgres, streaming; once as it is, once with zstd level 1 at the client).
2. **restore** of that backup and ``--transactions`` of pgbench -N after it, until the first ``select 1``: Howdah's into
   a new service, unpacking pg_basebackup's tar file and starting a server that fetches the WAL with cp (the limit),
   the same with the zstd one, ``barman restore`` and starting a server.
3. **archiving** under pgbench -N (``--seconds`` for each contestant, in ``--turns`` parts) and under COPY (pgbench -i
   of ``--load-scale``): throughput of like services without archiving (twice: how far apart these two are is noise),
   with Howdah's, with archive_command='cp …', with barman's receive-wal; and the seconds from the end of a load until
   all of its WAL is in the archive. barman moves WAL into its archive only then, at once; by its cron it would every
   minute.

Needs `make install`, for barman rsync and zstd, and as root the user howdah; downloads barman into a virtual
environment of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests"))
from backups import archiving, copies, restores  # noqa: E402
from backups.barman import ZSTD, Barman, missing  # noqa: E402
from backups.machine import Machine  # noqa: E402
from backups.rounds import Target, Times, ratio  # noqa: E402
from backups.service import Service  # noqa: E402
from fixtures.server import CACHE, Server  # noqa: E402

PARTS = ("backup", "restore", "archiving")
DATABASE, LOADED = "bench", "loaded"
OF_LIMIT = 1.5
COST = 0.05
"""The targets: the most of the limit's time, and the most of the throughput."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=65)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--transactions", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--archiving-scale", type=int, default=20)
    parser.add_argument("--load-scale", type=int, default=20)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--postgres", default="18")
    parser.add_argument("--without-barman", action="store_true")
    parser.add_argument("--json", type=Path, default=TOP / "benchmarks" / "results" / "backup.json")
    given = parser.parse_args()
    if not given.without_barman and (lacking := missing()):
        raise SystemExit(f"barman needs {' and '.join(lacking)}: install them, or say --without-barman")
    with ExitStack() as ending:
        top = Path(tempfile.mkdtemp(prefix="hwd-bench-"))
        ending.callback(shutil.rmtree, top, ignore_errors=True)
        top.chmod(0o755)
        bench = Bench(given, top, ending)
        bench.measure()
    print("\n".join(["", f"{'':7} {'figure':>7} {'most':>7}", *map(str, bench.targets)]))
    print(f"{sum(target.met for target in bench.targets)} of {len(bench.targets)} targets met")
    given.json.parent.mkdir(parents=True, exist_ok=True)
    asked = {name: value for name, value in vars(given).items() if name != "json"}
    verdicts = [asdict(target) | {"met": target.met} for target in bench.targets]
    summary = {"cores": os.cpu_count(), "asked": asked, **bench.results, "targets": verdicts}
    given.json.write_text(json.dumps(summary, indent=1) + "\n")


class Bench:
    """``results`` and ``targets`` of the parts that were asked for, which are printed as they come."""

    def __init__(self, given: argparse.Namespace, top: Path, ending: ExitStack) -> None:
        self.given = given
        self.top = top
        self.ending = ending
        self.results: dict[str, Any] = {}
        self.targets: list[Target] = []
        self.archived = self._server("archived", HOWDAH_BACKUP_ARCHIVE="", HOWDAH_BACKUP_CHAIN="0")
        self.machine = Machine(top, max((CACHE / "served" / "postgres").glob(f"{given.postgres}*")))

    def measure(self) -> None:
        if {"backup", "restore"} & set(self.given.only):
            self._copies()
        if "archiving" in self.given.only:
            self._archiving()

    # -- backup and restore

    def _copies(self) -> None:
        service = self._service(self.archived, "copied")
        service.fill(DATABASE, self.given.scale)
        service.first_backup()
        service.catch_up()
        barmen: dict[str, Barman] = {}
        if not self.given.without_barman:
            barmen = {
                "barman": Barman(self.machine, service, "plain"),
                "barman, zstd:1": Barman(self.machine, service, "packed", ZSTD),
            }
        copied = copies.Copies(self.machine, service, barmen)
        times = copied.measure(self.given.rounds if "backup" in self.given.only else 1)
        if "backup" in self.given.only:
            newest = service.status()["backups"][0]
            assert newest["kind"] == "full"
            self.results["size"] = {name: newest[name] for name in ("dataBytes", "storedBytes")}
            print(f"\n{newest['dataBytes'] / 1e6:,.0f} MB of data, {newest['storedBytes'] / 1e6:,.0f} MB stored")
            self._report_copies("backup", times, copied.steps, copies.LIMIT, list(barmen))
        if "restore" in self.given.only:
            restored = restores.Restores(self.machine, service, copied, barmen)
            restored.write(self.given.transactions)
            times = restored.measure(self.given.rounds)
            self._report_copies("restore", times, restored.steps, restores.LIMIT, list(barmen))
        for barman in barmen.values():
            barman.close()
        service.delete()

    def _report_copies(
        self, what: str, times: Times, steps: list[dict[str, float]], limit: str, barmen: list[str]
    ) -> None:
        print(f"\n{what}, seconds\n{table(times, limit)}\n{spent(steps)}", flush=True)
        self.results[what] = {"seconds": times, "steps": steps}
        howdah = times["howdah"]
        self.targets.append(Target(f"{what}: of the time of {limit}", ratio(howdah, times[limit]), OF_LIMIT))
        self.targets += [Target(f"{what}: of the time of {name}", ratio(howdah, times[name]), 1.0) for name in barmen]

    # -- archiving

    def _archiving(self) -> None:
        unarchived = self._server("unarchived")
        off = archiving.Contestant(self._loaded(unarchived, "off"))
        contestants = {
            archiving.HOWDAH: archiving.howdah(self._loaded(self.archived, "archived")),
            archiving.COPY: archiving.copying(self._loaded(unarchived, "copying")),
            archiving.CONTROL: off,
        }
        contestants[archiving.HOWDAH].service.first_backup()
        if not self.given.without_barman:
            streamed = self._loaded(unarchived, "streamed")
            barman = Barman(self.machine, streamed, "streamed")
            self.ending.callback(barman.close)
            contestants[archiving.BARMAN] = archiving.streaming(streamed, barman)
        seconds = max(1, self.given.seconds // self.given.turns)
        loads: dict[str, archiving.Load] = {
            "pgbench -N": lambda service: service.transactions(DATABASE, seconds, self.given.clients),
            "COPY": lambda service: service.load(LOADED, self.given.load_scale),
        }
        for what, load in loads.items():
            self._report_archiving(what, archiving.measure(what, off, contestants, load, self.given.turns))

    def _loaded(self, server: Server, name: str) -> Service:
        service = self._service(server, name)
        service.fill(DATABASE, self.given.archiving_scale)
        service.make_database(LOADED)
        return service

    def _report_archiving(self, what: str, measured: dict[str, archiving.Measured]) -> None:
        print(f"\narchiving under {what}\n{throughput_table(measured)}", flush=True)
        self.results[what] = {name: asdict(each) for name, each in measured.items()}
        howdah, barman = measured[archiving.HOWDAH], measured.get(archiving.BARMAN)
        cost = 1 - statistics.median(howdah.of_off)
        self.targets.append(Target(f"{what}: part of the throughput that archiving costs", cost, COST))
        if barman is not None:
            self.targets += [
                Target(
                    f"{what}: throughput with barman, of that with Howdah", ratio(barman.of_off, howdah.of_off), 1.0
                ),
                Target(
                    f"{what}: time until all is archived, of that of barman", ratio(howdah.behind, barman.behind), 1.0
                ),
            ]

    # -- what is measured

    def _server(self, name: str, **env: str) -> Server:
        one = Server(self.top / name, env={"HOWDAH_BACKUP_RATE_MIB": "0", **env}).start()
        self.ending.callback(one.stop_everything)
        return one

    def _service(self, server: Server, name: str) -> Service:
        return Service(server, self.machine, self.given.postgres, name)


def table(times: Times, limit: str) -> str:
    lines = [f"{'':34} {'median':>8} {'min':>8} {'max':>8} {'of the limit':>13} {'howdah of it':>13}"]
    for name, each in times.items():
        mark = " (limit)" if name == limit else ""
        lines.append(
            f"{name + mark:34} {statistics.median(each):8.2f} {min(each):8.2f} {max(each):8.2f}"
            f" {ratio(each, times[limit]):13.2f} {ratio(times['howdah'], each):13.2f}"
        )
    return "\n".join(lines)


def spent(steps: list[dict[str, float]]) -> str:
    """Where Howdah's time went."""
    names = list(dict.fromkeys(name for each in steps for name in each))
    medians = {name: statistics.median(each.get(name, 0.0) for each in steps) for name in names}
    return "\n".join(f"  of howdah: {medians[name]:6.2f}  {name}" for name in names)


def throughput_table(measured: dict[str, archiving.Measured]) -> str:
    titles = (
        f"{'per s':>9} {'of off':>7} {'min':>6} {'max':>6} {'cores':>6} {'behind, s':>10} {'max':>6} {'waiting':>8}"
    )
    lines = [f"{'':28} {titles}"]
    for name, each in measured.items():
        waiting = statistics.median(a - b for a, b in zip(each.waiting, each.resting, strict=True)) / 1e6
        of_off = each.of_off or [1.0]
        lines.append(
            f"{name:28} {statistics.median(each.throughput):9,.0f} {statistics.median(of_off):7.3f}"
            f" {min(of_off):6.2f} {max(of_off):6.2f} {statistics.median(each.cores):6.2f}"
            f" {statistics.median(each.behind):10.2f} {max(each.behind):6.2f} {waiting:5.1f} MB"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
