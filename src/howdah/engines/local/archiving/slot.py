"""The replication slot by which a server keeps WAL until its receiver has it durably."""

from __future__ import annotations

from pathlib import Path

from howdah.backup.wal import lsn_text
from howdah.engines.local.archiving.receiver import NAME, SLOT
from howdah.engines.local.connection import connect


async def ensure_slot(sockets: Path, port: int, *, pid: int, anew: bool = False) -> None:
    """Make it for a new server, and where its tenant has dropped it or it held back too much WAL. ``pid``: the server's
    postmaster. ``anew``: what it stands for is gone; begin with what the server still has.

    Raises Unavailable.
    """
    async with connect(str(sockets), port, pid=pid) as connection:
        found = await connection.execute(
            f"SELECT slot_type, coalesce(wal_status, 'lost') FROM pg_replication_slots WHERE slot_name = '{SLOT}'"  # pyright: ignore[reportArgumentType]
        )
        rows = await found.fetchall()
        if rows and rows[0][0] == "physical" and rows[0][1] != "lost" and not anew:
            return
        if rows:
            await connection.execute(f"SELECT pg_drop_replication_slot('{SLOT}')")  # pyright: ignore[reportArgumentType]
        await connection.execute(
            f"SELECT pg_create_physical_replication_slot('{SLOT}', true)"  # pyright: ignore[reportArgumentType]
        )


async def move_slot(sockets: Path, port: int, *, pid: int, to: int) -> None:
    """Have the server keep only WAL from ``to`` (LSN) on. One that is behind it does it later. Raises Unavailable."""
    async with connect(str(sockets), port, pid=pid) as connection:
        await connection.execute(
            "SELECT pg_replication_slot_advance(slot_name, least(%s::pg_lsn, pg_current_wal_flush_lsn()))"
            " FROM pg_replication_slots WHERE slot_name = %s AND NOT active AND restart_lsn < %s::pg_lsn",
            (lsn_text(to), SLOT, lsn_text(to)),
        )


async def flushed_until(sockets: Path, port: int, *, pid: int) -> str:
    """The position until which the server has everything durably. Raises Unavailable."""
    async with connect(str(sockets), port, pid=pid) as connection:
        found = await connection.execute("SELECT pg_current_wal_flush_lsn()::text")
        return str((await found.fetchall())[0][0])


async def received_until(sockets: Path, port: int, *, pid: int) -> str | None:
    """The position until which its receiver has written everything; None while none is connected. Raises
    Unavailable."""
    async with connect(str(sockets), port, pid=pid) as connection:
        found = await connection.execute(
            "SELECT max(write_lsn)::text FROM pg_stat_replication"
            f" WHERE application_name = '{NAME}' AND usename = 'postgres'"  # pyright: ignore[reportArgumentType]
        )
        position = (await found.fetchall())[0][0]
        return None if position is None else str(position)


async def has_until(sockets: Path, port: int, until: str, *, pid: int) -> bool:
    """Whether its receiver has written everything until that position. Raises Unavailable."""
    async with connect(str(sockets), port, pid=pid) as connection:
        found = await connection.execute(
            "SELECT coalesce(bool_or(write_lsn >= %s::pg_lsn), false) FROM pg_stat_replication"
            " WHERE application_name = %s AND usename = 'postgres'",
            (until, NAME),
        )
        return bool((await found.fetchall())[0][0])
