"""Stored API keys: everything but their secrets, of which only hashes exist."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, delete, insert, select, update

from howdah.domain.organizations import ApiKey, ApiVersion, KeyState, Role
from howdah.domain.sources import Source
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
    api_keys.c.sources,
)


def _select(*more: Any) -> Select[*tuple[Any, ...]]:
    return select(*_COLUMNS, *more)


_CALLED = Prepared(
    _select(api_keys.c.secret_hash).where(
        (api_keys.c.key_id == bindparam("key_id")) | (api_keys.c.key_id == bindparam("concealed"))
    )
)
_CALLED_EXACTLY = Prepared(_select().where(api_keys.c.key_id == bindparam("key_id")))
_ONE = Prepared(_select().where(api_keys.c.id == bindparam("id"), api_keys.c.organization == bindparam("organization")))
_OF = _select().where(api_keys.c.organization == bindparam("organization")).order_by(api_keys.c.number)
_ALL = Prepared(_OF)


def called(store: Store, key_id: str, concealed: str) -> list[tuple[ApiKey, bytes]]:
    """The keys of that key id, each with the hash of its secret: one that was made here, and one of which only the
    hash of the id is known. Their secrets tell them apart."""
    return [(_key(row[:-1]), row[-1]) for row in store.all(_CALLED, {"key_id": key_id, "concealed": concealed})]


def called_exactly(store: Store, key_id: str) -> ApiKey | None:
    row = store.one(_CALLED_EXACTLY, {"key_id": key_id})
    return None if row is None else _key(row)


def find(store: Store, organization: UUID, key: UUID) -> ApiKey | None:
    row = store.one(_ONE, {"id": str(key), "organization": str(organization)})
    return None if row is None else _key(row)


def of(store: Store, organization: UUID) -> list[ApiKey]:
    """The keys of an organization, oldest first."""
    return [_key(row) for row in store.all(_ALL, {"organization": str(organization)})]


def within(connection: Connection, organization: UUID) -> list[ApiKey]:
    """The same inside a transaction."""
    return [_key(tuple(row)) for row in connection.execute(_OF, {"organization": str(organization)})]


def exists(connection: Connection, key_id: str) -> bool:
    return connection.execute(select(api_keys.c.id).where(api_keys.c.key_id == key_id)).first() is not None


def add(connection: Connection, key: ApiKey, secret_hash: bytes) -> None:
    connection.execute(
        insert(api_keys).values(
            id=str(key.id),
            organization=str(key.organization),
            key_id=key.key_id,
            secret_hash=secret_hash,
            suffix=key.suffix,
            name=key.name,
            role=" ".join(key.roles),
            state=key.state,
            created_at=to_ms(key.created_at),
            expire_at=maybe_to_ms(key.expire_at),
            used_at=maybe_to_ms(key.used_at),
            api_version=key.api_version,
            sources=_encode(key.sources),
        )
    )


def change(connection: Connection, key: ApiKey) -> None:
    """Stores what of a key can change."""
    connection.execute(
        update(api_keys)
        .where(api_keys.c.id == str(key.id))
        .values(
            name=key.name,
            role=" ".join(key.roles),
            state=key.state,
            expire_at=maybe_to_ms(key.expire_at),
            sources=_encode(key.sources),
        )
    )


def remove(connection: Connection, key: UUID) -> None:
    connection.execute(delete(api_keys).where(api_keys.c.id == str(key)))


def note_use(connection: Connection, uses: Mapping[UUID, datetime]) -> None:
    """Stores when keys were last used, by id."""
    for key, moment in uses.items():
        connection.execute(update(api_keys).where(api_keys.c.id == str(key)).values(used_at=to_ms(moment)))


def _encode(sources: tuple[Source, ...] | None) -> str | None:
    return None if sources is None else json.dumps([[source.text, source.description] for source in sources])


@lru_cache(maxsize=1024)
def _decode(text: str) -> tuple[Source, ...]:
    """Remembered: each request with such a key asks for it."""
    return tuple(Source(network, description) for network, description in json.loads(text))


@lru_cache(maxsize=1024)
def _key(row: tuple[Any, ...]) -> ApiKey:
    return ApiKey(
        id=UUID(row[0]),
        organization=UUID(row[1]),
        key_id=row[2],
        name=row[3],
        roles=tuple(map(Role, row[4].split())),
        state=KeyState(row[5]),
        suffix=row[6],
        created_at=from_ms(row[7]),
        expire_at=maybe_from_ms(row[8]),
        used_at=maybe_from_ms(row[9]),
        api_version=None if row[10] is None else ApiVersion(row[10]),
        sources=None if row[11] is None else _decode(row[11]),
    )
