"""A standby that commits do not wait for gets what it lacks before it takes over, from wherever that still is."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from typing import Any

import pytest
from fixtures.server import Server, eventually

from ha.service import HaService, end, with_standbys
from howdah.launcher.processes import arguments_of, children

ROWS = 200_000
"""More than 16 MiB of WAL: without what is brought to it the standby would not take over at all."""

PAGE, HEADER = 8192, 40
"""Bytes of a page of WAL, and at most of what it begins with."""


def hold_back(service: HaService) -> None:
    """From now on nothing of what the primary writes reaches its standby."""
    leader = service.primary().pid
    sending = [pid for pid in children(leader) if "walsender howdah_replication" in " ".join(arguments_of(pid))]
    assert len(sending) == 1, [arguments_of(pid) for pid in children(leader)]
    os.kill(sending[0], signal.SIGSTOP)


def write(service: HaService) -> None:
    """Commits that are acknowledged; the last ones after the rest of a segment was left empty."""
    service.sql(f"CREATE TABLE kept AS SELECT generate_series(1, {ROWS}) AS number")
    service.sql("SELECT pg_switch_wal()")
    service.sql("INSERT INTO kept VALUES (0)")


def taken_over(service: HaService) -> dict[str, Any]:
    change = service.wait_for_change(1)
    assert service.sql("SELECT count(*) FROM kept") == [(ROWS + 1,)]
    return change


@pytest.mark.fault(
    "The primary of a service with an `async` standby that is far behind is killed",
    "what the standby lacks is brought to it from the former primary's directory; no acknowledged commit is lost",
)
def test_a_standby_that_lags_gets_what_its_dead_primary_wrote(server: Server) -> None:
    service = with_standbys(server, "async")
    hold_back(service)
    write(service)
    end(service.primary())
    assert taken_over(service)["lostBytes"] == 0


def damage(service: HaService, position: str) -> None:
    """The page of the primary's WAL with that LSN: it belongs where it is, and its records are none."""
    ((segment, offset),) = service.sql("SELECT * FROM pg_walfile_name_offset(%s)", position)
    with (service.data(service.primary().instance) / "pg_wal" / segment).open("r+b") as file:
        file.seek(offset - offset % PAGE + HEADER)
        file.write(b"x" * (PAGE - HEADER))


@pytest.mark.fault(
    "The same, and what the primary wrote last is damaged on its disk",
    "the standby takes over with what comes before that; it is not recorded that nothing was lost",
)
def test_a_standby_that_finds_what_it_is_brought_damaged_takes_over_with_what_comes_before(server: Server) -> None:
    service = with_standbys(server, "async")
    hold_back(service)
    write(service)
    ((position,),) = service.sql("SELECT (pg_current_wal_flush_lsn() + 10 * %s)::text", PAGE)
    service.sql("INSERT INTO kept SELECT generate_series(1, %s)", ROWS // 10)
    damage(service, position)
    end(service.primary())
    assert taken_over(service)["lostBytes"] != 0
    service.wait_until_healthy(1)


@pytest.mark.fault(
    "The same, and the data directory of the primary is gone",
    "what the standby lacks comes from the archive, as far as it was received",
)
def test_a_standby_that_lags_gets_what_the_archive_has(new_server: Callable[..., Server]) -> None:
    server = new_server(env={"HOWDAH_BACKUP_ARCHIVE": ""})
    service = with_standbys(server, "async")
    eventually("it is archived", lambda: "earliestRestoreTime" in server.get(service.id), within=90)
    hold_back(service)
    write(service)
    received = "SELECT write_lsn >= pg_current_wal_flush_lsn() FROM pg_stat_replication WHERE usename = 'postgres'"
    eventually("all of it is received", lambda: service.sql(received) == [(True,)])
    leader = service.primary()
    shutil.rmtree(service.data(leader.instance) / "pg_wal", ignore_errors=True)
    end(leader)
    taken_over(service)
