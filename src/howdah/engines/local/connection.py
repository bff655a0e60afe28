"""Our own connections to a server: over its Unix socket, as ``postgres`` by peer authentication, with time limits."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, LiteralString, cast

import psycopg

from howdah.domain.errors import Unavailable

LIMIT = 5.0
_OPTIONS = {
    "event_triggers": "off",
    "log_statement": "none",
    "log_duration": "off",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_min_error_statement": "panic",
    "log_transaction_sample_rate": "0",
    "pg_stat_statements.track": "none",
    "pg_stat_statements.track_utility": "off",
    "auto_explain.log_min_duration": "-1",
    "post_auth_delay": "0",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "session_replication_role": "origin",
    "role": "none",
    "default_transaction_read_only": "off",
    "synchronous_commit": "local",
    "transaction_timeout": "0",
    "statement_timeout": "4s",
    "lock_timeout": "4s",
    "client_encoding": "UTF8",
    "search_path": "pg_catalog",
}
_VERIFIER = re.compile(r"SCRAM-SHA-256\$\d+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+")
_DATABASES = ("postgres", "template1")


@asynccontextmanager
async def connect(
    sockets: str, port: int, *, pid: int, database: str | None = None, limit: float = LIMIT
) -> AsyncGenerator[psycopg.AsyncConnection[Any]]:
    """A connection in autocommit to the postmaster ``pid``, within ``limit`` seconds all in all.

    Without a ``database`` to any: a tenant can take every ordinary connection, and drop the database ``postgres``; the
    other ways in are tried too. Raises Unavailable.
    """
    try:
        async with asyncio.timeout(limit):
            connection = await (_open(sockets, port) if database is None else _open_one(sockets, port, database))
            try:
                _check_peer(connection.pgconn.socket, pid)
                yield connection
            finally:
                connection.pgconn.finish()
    except TimeoutError:
        raise Unavailable(f"the server did not answer within {limit:.0f} s") from None
    except psycopg.Error as error:
        raise Unavailable(f"the server refused: {str(error).strip()[:300]}") from None


async def set_password(sockets: str, port: int, *, pid: int, verifier: str) -> None:
    """Make ``verifier`` the password of ``postgres``, also where its tenant let it expire. Raises Unavailable."""
    if not _VERIFIER.fullmatch(verifier):
        raise ValueError("not a SCRAM-SHA-256 verifier")
    async with connect(sockets, port, pid=pid) as connection:
        expiry = await connection.execute(
            "SELECT 1 FROM pg_authid WHERE rolname = 'postgres' AND rolvaliduntil < 'infinity'"
        )
        forever = " VALID UNTIL 'infinity'" if await expiry.fetchall() else ""
        # The pattern leaves nothing that would need quoting; a literal goes by the simple protocol, as walsenders want.
        await connection.execute(cast("LiteralString", f"ALTER ROLE postgres PASSWORD '{verifier}'{forever}"))


async def _open(sockets: str, port: int) -> psycopg.AsyncConnection[Any]:
    refused: psycopg.OperationalError | None = None
    for database, replication in ((_DATABASES[0], ""), (_DATABASES[1], ""), (_DATABASES[0], "database")):
        try:
            return await _open_one(sockets, port, database, replication)
        except psycopg.OperationalError as error:
            refused = error
    assert refused is not None
    raise refused


async def _open_one(sockets: str, port: int, database: str, replication: str = "") -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(
        host=sockets,
        port=port,
        user="postgres",
        dbname=database,
        replication=replication or "false",
        options=" ".join(f"-c {name}={value}" for name, value in _OPTIONS.items()),
        application_name="howdah",
        sslmode="disable",
        gssencmode="disable",
        passfile="/dev/null/none",
        target_session_attrs="any",
        autocommit=True,
    )


def _check_peer(handle: int, pid: int) -> None:
    """The socket's directory is its tenant's: make sure that the one who listens is the server that we mean."""
    with socket.socket(fileno=socket.dup(handle)) as duplicate:
        found = struct.unpack("3i", duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    if found != pid:
        raise Unavailable(f"another process (pid {found}) listens on the server's socket")
