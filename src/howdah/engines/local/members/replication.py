"""What a primary is asked and told about its standbys, and what a standby says of itself, in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import psycopg

from howdah.backup.wal import HISTORY, lsn
from howdah.domain.errors import Unavailable
from howdah.domain.instances import Instance
from howdah.engines.local.connection import connect
from howdah.engines.local.machine import Machine
from howdah.engines.local.members.membership import ROLE

_SLOTS = "howdah\\_%"


@dataclass(frozen=True, slots=True)
class Position:
    """LSNs of a standby. received: durably, None before it has received anything since its start; replayed: None before
    anything was. receiving: it is connected to a primary. at_end: it has replayed all that it has."""

    received: int | None
    replayed: int | None
    receiving: bool
    at_end: bool

    @property
    def last(self) -> int:
        """Until where it has everything."""
        return max(self.received or 0, self.replayed or 0)


@dataclass(frozen=True, slots=True)
class Sent:
    """What a primary knows of a standby that is connected: LSNs that it has durably, and shows; None: not said yet."""

    flushed: int | None
    replayed: int | None
    acknowledges: bool


@dataclass(frozen=True, slots=True)
class Sending:
    """A primary's own end of WAL, by name the standbys that are connected, and the slots that keep WAL for standbys."""

    flushed: int
    standbys: dict[str, Sent]
    keeping: frozenset[str]


async def ensure_replication(
    machine: Machine, primary: Instance, pid: int, *, verifier: str, slots: Iterable[str], kept: Iterable[str]
) -> None:
    """The role and the slots by which standbys come; other slots of ours, but for ``kept``, go.

    Raises Unavailable, also while one of those is still in use.
    """
    wanted, spared = set(slots), set(kept)
    async with _connected(machine, primary, pid) as connection:
        found = await connection.execute(
            _words(
                f"SELECT rolpassword = '{verifier}' AND rolreplication AND rolcanlogin"
                f" AND coalesce(rolvaliduntil = 'infinity', true) FROM pg_authid WHERE rolname = '{ROLE}'"
            )
        )
        role = await found.fetchall()
        if not role:
            await connection.execute(_words(f"CREATE ROLE {ROLE} LOGIN REPLICATION PASSWORD '{verifier}'"))
        elif not role[0][0]:
            await connection.execute(
                _words(f"ALTER ROLE {ROLE} LOGIN REPLICATION PASSWORD '{verifier}' VALID UNTIL 'infinity'")
            )
        found = await connection.execute(
            _words(
                "SELECT slot_name, active, coalesce(wal_status, '') FROM pg_replication_slots"
                f" WHERE slot_type = 'physical' AND slot_name LIKE '{_SLOTS}'"
            )
        )
        there = {str(name): (bool(active), str(status)) for name, active, status in await found.fetchall()}
        for name, (active, status) in there.items():
            if not active and (name not in wanted | spared or (status == "lost" and name in wanted)):
                await connection.execute(_words(f"SELECT pg_drop_replication_slot('{name}')"))
        for name in wanted:
            if name not in there or there[name][1] == "lost":
                await connection.execute(_words(f"SELECT pg_create_physical_replication_slot('{name}', true)"))
    if left := sorted(name for name, (active, _) in there.items() if active and name not in wanted | spared):
        raise Unavailable(f"slots of former standbys are still in use: {', '.join(left)}")


async def kept_from(machine: Machine, server: Instance, pid: int, slot: str) -> int | None:
    """From where on (LSN) a server keeps WAL by that slot; None where it does not. Raises Unavailable."""
    async with _connected(machine, server, pid) as connection:
        found = await connection.execute(
            _words(
                "SELECT restart_lsn::text FROM pg_replication_slots"
                f" WHERE slot_name = '{slot}' AND wal_status IS DISTINCT FROM 'lost'"
            )
        )
        rows = await found.fetchall()
        return _maybe(rows[0][0]) if rows else None


async def make_slots(machine: Machine, server: Instance, pid: int, names: Iterable[str]) -> None:
    """By which a server keeps WAL for standbys from now on, whatever it has kept before. Raises Unavailable."""
    async with _connected(machine, server, pid) as connection:
        for name in names:
            await connection.execute(
                _words(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                    f" WHERE slot_name = '{name}' AND NOT active"
                )
            )
            await connection.execute(
                _words(
                    f"SELECT pg_create_physical_replication_slot('{name}', true)"
                    f" WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{name}')"
                )
            )


async def expect_standbys(machine: Machine, standby: Instance, pid: int, names: Iterable[str]) -> None:
    """Have a standby ready for those that would come to it if it became the primary: slots that keep no WAL until they
    are used. What it kept as an earlier primary goes. Raises Unavailable."""
    wanted = set(names)
    async with _connected(machine, standby, pid) as connection:
        found = await connection.execute(
            _words(
                "SELECT slot_name, restart_lsn IS NOT NULL FROM pg_replication_slots"
                f" WHERE slot_type = 'physical' AND NOT active AND slot_name LIKE '{_SLOTS}'"
            )
        )
        there = {str(name): bool(keeps) for name, keeps in await found.fetchall()}
        for name, keeps in there.items():
            if keeps or name not in wanted:
                await connection.execute(_words(f"SELECT pg_drop_replication_slot('{name}')"))
        for name in sorted(wanted - {name for name, keeps in there.items() if not keeps}):
            await connection.execute(_words(f"SELECT pg_create_physical_replication_slot('{name}', false)"))


async def histories(machine: Machine, primary: Instance, pid: int) -> dict[str, bytes]:
    """The timeline histories in its WAL directory, by name. Raises Unavailable."""
    async with _connected(machine, primary, pid) as connection:
        found = await connection.execute(
            "SELECT name, pg_read_binary_file('pg_wal/' || name, 0, 65536) FROM pg_ls_waldir()"
            " WHERE name ~ '^[0-9A-F]{8}\\.history$'"
        )
        return {str(name): bytes(content) for name, content in await found.fetchall() if HISTORY.fullmatch(str(name))}


async def sending(machine: Machine, primary: Instance, pid: int) -> Sending:
    """Raises Unavailable."""
    async with _connected(machine, primary, pid) as connection:
        found = await connection.execute(
            _words(
                "SELECT application_name, flush_lsn::text, replay_lsn::text, sync_state IN ('sync', 'quorum')"
                f" FROM pg_stat_replication WHERE usename = '{ROLE}' AND state IN ('streaming', 'catchup')"
            )
        )
        standbys = {
            str(name): Sent(_maybe(flushed), _maybe(replayed), bool(acknowledges))
            for name, flushed, replayed, acknowledges in await found.fetchall()
        }
        found = await connection.execute(
            _words(
                f"SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE '{_SLOTS}'"
                " AND wal_status IS DISTINCT FROM 'lost'"
            )
        )
        keeping = frozenset(str(row[0]) for row in await found.fetchall())
        found = await connection.execute("SELECT pg_current_wal_flush_lsn()::text")
        return Sending(lsn(str((await found.fetchall())[0][0])), standbys, keeping)


async def position(machine: Machine, standby: Instance, pid: int) -> Position:
    """Raises Unavailable, also when it is no standby any more."""
    async with _connected(machine, standby, pid) as connection:
        found = await connection.execute(
            "SELECT pg_last_wal_receive_lsn()::text, pg_last_wal_replay_lsn()::text,"
            " EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'),"
            " EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup'"
            "  AND wait_event IN ('RecoveryWalStream', 'RecoveryRetrieveRetryInterval'))"
        )
        received, replayed, receiving, at_end = (await found.fetchall())[0]
        return Position(_maybe(received), _maybe(replayed), bool(receiving), bool(at_end))


async def checkpoint(machine: Machine, primary: Instance, pid: int) -> None:
    """Write out what is to be written, so that its end takes little. Raises Unavailable."""
    async with _connected(machine, primary, pid, limit=60.0) as connection:
        await connection.execute("SET statement_timeout = '55s'")
        await connection.execute("CHECKPOINT")


async def has_password(machine: Machine, server: Instance, pid: int, verifier: str) -> bool:
    """Whether ``postgres`` has the password of that verifier. Raises Unavailable."""
    async with _connected(machine, server, pid) as connection:
        asked = f"SELECT rolpassword = '{verifier}' FROM pg_authid WHERE rolname = 'postgres' AND rolcanlogin"
        rows = await (await connection.execute(_words(asked))).fetchall()
        return bool(rows and rows[0][0])


async def begin_promotion(machine: Machine, standby: Instance, pid: int) -> None:
    """Have it become a primary; it is one a moment later. Raises Unavailable."""
    async with _connected(machine, standby, pid) as connection:
        await connection.execute("SELECT pg_promote(false)")


def _connected(
    machine: Machine, instance: Instance, pid: int, limit: float = 5.0
) -> AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]:
    return connect(str(machine.layout.of(instance).sockets), instance.port, pid=pid, limit=limit)


def _maybe(text: object) -> int | None:
    return None if text is None else lsn(str(text))


def _words(statement: str) -> LiteralString:
    """Ours: what is in it needs no quoting, and no parameters, which a walsender would not take."""
    return cast("LiteralString", statement)
