"""Bringing the store's schema to the one that this code knows."""

from __future__ import annotations

import glob
from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection

HEAD = "0014"
"""The newest migration; a test compares it with the directory."""

_MIGRATIONS = Path(__file__).parent / "migrations"


def is_known(revision: str) -> bool:
    """Whether this code has the migration that made this schema."""
    return any(_MIGRATIONS.glob(f"versions/v{glob.escape(revision)}_*.py"))


def migrate(engine: sqlalchemy.Engine) -> None:
    """Runs the missing migrations in one transaction.

    Several processes may do it at once: the transaction has the write lock before it looks.
    """
    with engine.begin() as connection:
        if _revision(connection) != HEAD:
            _upgrade(connection)


def _revision(connection: Connection) -> str | None:
    known = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE name = 'alembic_version'").all()
    if not known:
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _upgrade(connection: Connection) -> None:
    # Imported here: it takes longer than everything else that a command needs, and is needed once per version.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
