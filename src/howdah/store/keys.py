"""Stored API keys: everything but their secrets, of which only hashes exist."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, insert, select, update

from howdah.domain.organizations import ApiKey, ApiVersion, KeyState, Role
from howdah.store.prepared import Prepared
from howdah.store.store import Store
from howdah.store.tables import api_keys
from howdah.store.times import from_ms, maybe_from_ms, maybe_to_ms, to_ms

_COLUMNS = (
    api_keys.c.id,
    api_keys.c.organization,
    api_keys.c.key_id,
    api_keys.c.name,
    api_keys.c.role,
    api_keys.c.state,
    api_keys.c.suffix,
    api_keys.c.created_at,
    api_keys.c.expire_at,
    api_keys.c.used_at,
    api_keys.c.api_version,
)


def _select(*more: Any) -> Select[*tuple[Any, ...]]:
    return select(*_COLUMNS, *more)


_BY_KEY_ID = Prepared(_select(api_keys.c.secret_hash).where(api_keys.c.key_id == bindparam("key_id")))
_ONE = Prepared(_select().where(api_keys.c.id == bindparam("id"), api_keys.c.organization == bindparam("organization")))
_ALL = Prepared(_select().where(api_keys.c.organization == bindparam("organization")).order_by(api_keys.c.number))


def by_key_id(store: Store, key_id: str) -> tuple[ApiKey, bytes] | None:
    """The key of that key id, and the hash of its secret."""
    row = store.one(_BY_KEY_ID, {"key_id": key_id})
    return None if row is None else (_key(row), row[-1])


def find(store: Store, organization: UUID, key: UUID) -> ApiKey | None:
    row = store.one(_ONE, {"id": str(key), "organization": str(organization)})
    return None if row is None else _key(row)


def of(store: Store, organization: UUID) -> list[ApiKey]:
    """The keys of an organization, oldest first."""
    return [_key(row) for row in store.all(_ALL, {"organization": str(organization)})]


def add(connection: Connection, key: ApiKey, secret_hash: bytes) -> None:
    connection.execute(
        insert(api_keys).values(
            id=str(key.id),
            organization=str(key.organization),
            key_id=key.key_id,
            secret_hash=secret_hash,
            suffix=key.suffix,
            name=key.name,
            role=key.role,
            state=key.state,
            created_at=to_ms(key.created_at),
            expire_at=maybe_to_ms(key.expire_at),
            used_at=maybe_to_ms(key.used_at),
            api_version=key.api_version,
        )
    )


def disable(connection: Connection, key_id: str) -> bool:
    """Whether there is a key of that id; it is disabled now."""
    changed = connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(state=KeyState.DISABLED))
    return changed.rowcount == 1


def note_use(connection: Connection, uses: Mapping[str, datetime]) -> None:
    """Stores when keys were last used, by key id."""
    for key_id, moment in uses.items():
        connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(used_at=to_ms(moment)))


def _key(row: tuple[Any, ...]) -> ApiKey:
    return ApiKey(
        id=UUID(row[0]),
        organization=UUID(row[1]),
        key_id=row[2],
        name=row[3],
        role=Role(row[4]),
        state=KeyState(row[5]),
        suffix=row[6],
        created_at=from_ms(row[7]),
        expire_at=maybe_from_ms(row[8]),
        used_at=maybe_from_ms(row[9]),
        api_version=None if row[10] is None else ApiVersion(row[10]),
    )
