"""Bringing the store's schema to the one that this code knows."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection

from howdah.domain.errors import SetupError

HEAD = "0001"
"""The newest migration; a test compares it with the directory."""


def migrate(engine: sqlalchemy.Engine, path: Path) -> None:
    """Runs the missing migrations in one transaction. Raises SetupError when the store is newer than this code.

    Several processes may do it at once: the transaction has the write lock before it looks.
    """
    with engine.begin() as connection:
        if (found := _revision(connection)) == HEAD:
            return
        _upgrade(connection, path, found)


def _revision(connection: Connection) -> str | None:
    known = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE name = 'alembic_version'").all()
    if not known:
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _upgrade(connection: Connection, path: Path, found: str | None) -> None:
    # Imported here: it takes longer than everything else that a command needs, and is needed once per version.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise SetupError(
            f"the store {path} was written by a newer Howdah (schema {found}, this one knows up to {HEAD}):"
            " start that version, or put back a store from before its upgrade"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
