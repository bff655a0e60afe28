"""A plain Postgres cluster for tests, archived by hand: by Postgres' own programs and the archive's calls."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from fixtures.server import CACHE, eventually

from howdah.backup.archive import TimelineArchive
from howdah.backup.packing import Packing
from howdah.backup.programs import Programs
from howdah.backup.wal import HISTORY, PARTIAL, Segment, lsn
from howdah.domain.backups import BackupKind, BaseBackup
from howdah.domain.states import PostgresVersion
from howdah.engines.local.binaries import Binaries, ensure_binaries

USER = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
PORT = 5432
"""Of a Unix socket in a directory of its own."""


@dataclass
class Cluster:
    """``home``: everything of it, below a short path for its socket."""

    home: Path
    binaries: Binaries
    data: Path

    @property
    def programs(self) -> Programs:
        return Programs(self.binaries.root / "bin", self.binaries.environment)

    @property
    def spool(self) -> Path:
        return self.home / "spool"

    def run(self, program: str, *arguments: str | Path) -> str:
        command = [*as_user(), self.binaries.program(program), *map(str, arguments)]
        done = subprocess.run(command, env=self.binaries.environment, capture_output=True, text=True, check=False)
        log = self.home / "log"
        assert done.returncode == 0, done.stderr + (log.read_text()[-2000:] if log.exists() else "")
        return done.stdout

    @contextmanager
    def running(self, end: str = "fast") -> Iterator[None]:
        options = f"-c listen_addresses='' -c unix_socket_directories={self.home} -c port={PORT} -c summarize_wal=on"
        options += " -c max_prepared_transactions=5"
        self.run("pg_ctl", "-D", self.data, "-l", self.home / "log", "-o", options, "-w", "start")
        try:
            yield
        finally:
            self.run("pg_ctl", "-D", self.data, "-m", end, "-w", "stop")

    def sql(self, query: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        with psycopg.connect(
            host=str(self.home), port=PORT, user="postgres", dbname=database, autocommit=True
        ) as connection:
            cursor = connection.execute(query)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def now(self) -> datetime:
        return self.sql("SELECT clock_timestamp()")[0][0].astimezone(UTC)

    def promote(self) -> None:
        """The next timeline begins, as when a standby takes over."""
        subprocess.run([*as_user(), "touch", str(self.data / "standby.signal")], check=True)
        with self.running():
            self.sql("SELECT pg_promote()")
            self.sql("CHECKPOINT")

    @contextmanager
    def receiving(self) -> Iterator[None]:
        where = ["-h", str(self.home), "-p", str(PORT), "-U", "postgres"]
        into = ["-D", str(self.spool), "-S", "archive", "--status-interval=1"]
        program = [*as_user(), self.binaries.program("pg_receivewal"), *where, *into]
        subprocess.run([*program, "--create-slot", "--if-not-exists"], env=self.binaries.environment, check=True)
        with subprocess.Popen(program, env=self.binaries.environment, stderr=subprocess.DEVNULL) as receiver:
            try:
                # What is written before it is there may not be received at all.
                eventually("the receiver is there", lambda: self.sql("SELECT pid FROM pg_stat_replication"))
                yield
                self.received()
            finally:
                receiver.terminate()

    def received(self) -> None:
        """Returns once all that has been committed has arrived."""
        here = lsn(self.sql("SELECT pg_current_wal_lsn()::text")[0][0])

        def arrived() -> bool:
            rows = self.sql("SELECT coalesce(max(write_lsn), '0/0')::text FROM pg_stat_replication")
            return lsn(rows[0][0]) >= here

        eventually("the WAL is received", arrived)

    def collect(self, archive: TimelineArchive) -> None:
        """All that was received into the archive."""
        for path in sorted(self.spool.iterdir()):
            name = path.name.removesuffix(PARTIAL)
            if path.name.endswith(PARTIAL):
                archive.put_partial(name, path, Packing())
            elif Segment.parse(name) is not None or HISTORY.fullmatch(name):
                archive.put_wal(name, path)

    def back_up(self, archive: TimelineArchive, parent: BaseBackup | None = None) -> BaseBackup:
        kind = BackupKind.FULL if parent is None else BackupKind.INCREMENTAL
        started = self.now()
        name = f"{started:%Y%m%dT%H%M%S%fZ}-{kind}"
        directory = self.home / name
        options = ["-Ft", "--compress=client-zstd:1", "-X", "none", "-c", "fast", "--manifest-checksums=CRC32C"]
        if parent is not None:
            archive.manifest(parent, manifest := self.home / "parent_manifest")
            manifest.chmod(0o644)
            options.append(f"--incremental={manifest}")
        start = self.sql("SELECT pg_current_wal_insert_lsn()::text")[0][0]
        self.run("pg_basebackup", "-h", self.home, "-p", str(PORT), "-U", "postgres", "-D", directory, *options)
        stop = self.sql("SELECT pg_current_wal_insert_lsn()::text")[0][0]
        facts = BaseBackup(
            name=name, kind=kind, parent=parent and parent.name, postgres=self.binaries.full, system_identifier=1,
            started_at=started, finished_at=self.now(), start_lsn=start, stop_lsn=stop, wal_timeline=1,
            stored_bytes=0, data_bytes=0, files={}, tablespaces={},
        )  # fmt: skip
        return archive.put_base(facts, directory)

    def restored(self, directory: Path) -> Cluster:
        """A data directory that was assembled, as a cluster of its own, not started yet."""
        home = Path(tempfile.mkdtemp(prefix="hwr-", dir="/tmp"))
        shutil.move(directory, home / "data")
        (home / "data/postgresql.auto.conf").write_text(
            (home / "data/postgresql.auto.conf").read_text().replace(str(directory), str(home / "data"))
        )
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", USER, str(home)], check=True)
        return Cluster(home, self.binaries, home / "data")


@contextmanager
def new_cluster(version: PostgresVersion) -> Iterator[Cluster]:
    """Initialised, not running; removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="hwb-", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(home, USER)
    cluster = Cluster(home, ensure_binaries(version, CACHE / "engine" / "postgres", print), home / "data")
    try:
        cluster.run("initdb", "-D", cluster.data, "-U", "postgres", "-A", "trust", "--no-sync", "-k")
        subprocess.run([*as_user(), "mkdir", str(cluster.spool)], check=True)
        yield cluster
    finally:
        discard(cluster)


def discard(cluster: Cluster) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(cluster.home)


def as_user() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups"]
