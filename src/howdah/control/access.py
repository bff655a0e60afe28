"""Organizations and the API keys that act for them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection

from howdah.control.acts import BY_SYSTEM, Act
from howdah.control.clock import Clock, utc_now
from howdah.control.paths import store_file
from howdah.domain.activities import ActivityType, ActorType, Deed
from howdah.domain.errors import Conflict, NotFound, Unavailable
from howdah.domain.keys import (
    MAX_KEYS,
    KeyChange,
    NewApiKey,
    check_admin_remains,
    check_expiry,
    check_name,
    check_reach,
    listed,
    updates,
)
from howdah.domain.organizations import ApiKey, ApiVersion, KeyState, Organization, Role, difference
from howdah.domain.quotas import Quota
from howdah.domain.sources import admits
from howdah.security.keys import NewKey, concealed, hash_secret, matches, new_key
from howdah.store import keys as stored_keys
from howdah.store import organizations as stored_organizations
from howdah.store.store import Store


class Access:
    """Who may act. Reads come from the store each time: a key that another process revoked stops working at once."""

    def __init__(self, store: Store, clock: Clock = utc_now) -> None:
        self._store = store
        self._clock = clock
        self._used: dict[UUID, datetime] = {}

    def authenticate(self, key_id: str, secret: str, address: str | None = None) -> ApiKey | None:
        """The key, when it exists, is enabled, has not expired, may be used from ``address``, and this is its secret.
        Takes the same time for a key that does not exist."""
        found = stored_keys.called(self._store, key_id, concealed(hash_secret(key_id))) if key_id.isascii() else []
        if not found:
            matches(secret, None)
        key = next((key for key, secret_hash in found if matches(secret, secret_hash)), None)
        now = self._clock()
        if key is None or key.state is not KeyState.ENABLED or (key.expire_at is not None and key.expire_at <= now):
            return None
        if key.sources is not None and not admits(key.sources, address):
            return None
        self._used[key.id] = now.replace(second=0, microsecond=0)
        return key

    def organization(self, id: UUID) -> Organization:
        """Raises NotFound."""
        if (found := stored_organizations.find(self._store, id)) is None:
            raise NotFound(f"there is no organization {id}")
        return found

    def organizations(self) -> list[Organization]:
        """All, oldest first."""
        return stored_organizations.everyone(self._store)

    def keys(self, organization: UUID) -> list[ApiKey]:
        """The keys of an organization, oldest first."""
        return [self._with_use(key) for key in stored_keys.of(self._store, organization)]

    def key(self, organization: UUID, id: UUID) -> ApiKey:
        """Raises NotFound, for another organization's key too."""
        if (found := stored_keys.find(self._store, organization, id)) is None:
            raise _no_key(id)
        return self._with_use(found)

    def _with_use(self, key: ApiKey) -> ApiKey:
        return replace(key, used_at=self._used.get(key.id, key.used_at))

    async def create_first(self, hand_over: Callable[[Organization, NewKey], None]) -> None:
        """An organization and its admin key, when there is no organization yet. ``hand_over`` gets them on the writer
        thread before they are stored; when it raises, nothing is."""
        organization = Organization(uuid4(), "Default", self._clock())
        new = new_key()
        key = _made(organization.id, NewApiKey("Admin", (Role.ADMIN,)), new.key_id, new.suffix, self._clock())

        def write(connection: Connection) -> None:
            if stored_organizations.exist(connection):
                return
            _add_organization(connection, BY_SYSTEM, organization)
            _add_key(connection, BY_SYSTEM, key, hash_secret(new.secret))
            hand_over(organization, new)

        await self._store.write(write)

    async def create_organization(self, name: str, by: Act = BY_SYSTEM) -> Organization:
        """Raises BadRequest when the name breaks its rule."""
        organization = Organization(uuid4(), check_name(name), self._clock())
        await self._store.write(lambda connection: _add_organization(connection, by, organization))
        return organization

    async def set_retention(self, id: UUID, days: int | None, by: Act = BY_SYSTEM) -> Organization:
        """How long services of the organization can be restored; None: as the settings say. Raises NotFound."""
        return await self._change_organization(id, ActivityType.ORGANIZATION_UPDATE_RETENTION, by, retention_days=days)

    async def rename_organization(self, id: UUID, name: str, by: Act) -> Organization:
        """Raises BadRequest, NotFound."""
        name = check_name(name)
        return await self._change_organization(id, ActivityType.ORGANIZATION_UPDATE_NAME, by, name=name)

    async def set_quota(self, id: UUID, quota: Quota, by: Act) -> Organization:
        """Counts from now on; what is there stays. Raises NotFound."""
        return await self._change_organization(id, ActivityType.ORGANIZATION_UPDATE_QUOTA, by, quota=quota)

    async def _change_organization(self, id: UUID, type: ActivityType, by: Act, **values: Any) -> Organization:
        def write(connection: Connection) -> Organization:
            if (before := stored_organizations.within(connection, id)) is None:
                raise NotFound(f"there is no organization {id}")
            after = replace(before, **values)
            if after != before:
                stored_organizations.change(connection, after)
                by.note(connection, id, self._clock(), Deed(type, difference(before, after)))
            return after

        return await self._store.write(write)

    async def create_key(
        self, organization: UUID, *, name: str, role: Role, api_version: ApiVersion | None, by: Act = BY_SYSTEM
    ) -> tuple[ApiKey, str]:
        """The key and its secret, which is never shown again. Raises NotFound, BadRequest, Conflict."""
        key, new = await self.add_key(organization, NewApiKey(name, (role,), api_version=api_version), by)
        assert new is not None
        return key, new.secret

    async def add_key(self, organization: UUID, wanted: NewApiKey, by: Act) -> tuple[ApiKey, NewKey | None]:
        """The key, and its halves unless their hashes were given. Raises NotFound, BadRequest, and Conflict when the
        key id is taken or the organization has too many keys."""
        self.organization(organization)
        wanted, now = replace(wanted, name=check_name(wanted.name)), self._clock()
        check_expiry(wanted.expire_at, now)
        if wanted.hashed is None:
            new = new_key()
            key = _made(organization, wanted, new.key_id, new.suffix, now)
            secret_hash = hash_secret(new.secret)
        else:
            new = None
            key = _made(organization, wanted, concealed(wanted.hashed.key_id_hash), wanted.hashed.suffix, now)
            secret_hash = wanted.hashed.secret_hash

        def write(connection: Connection) -> None:
            if len(stored_keys.within(connection, organization)) >= MAX_KEYS:
                raise Conflict(f"the organization has {MAX_KEYS} keys, the most that it may have; delete one first")
            if stored_keys.exists(connection, key.key_id):
                raise Conflict("hashData.keyIdHash is the hash of a key id that is taken; choose another key id")
            _add_key(connection, by, key, secret_hash)
            by.keep(connection, (key, new))

        await self._store.write(write)
        return key, new

    async def change_key(self, organization: UUID, id: UUID, change: KeyChange, by: Act) -> ApiKey:
        """Raises NotFound, BadRequest, and Conflict when nobody could manage keys any more."""
        if change.name is not None:
            change = replace(change, name=check_name(change.name))

        changed = await self._store.write(lambda connection: self._change(connection, organization, id, change, by))
        return self._with_use(changed)

    def _change(self, connection: Connection, organization: UUID, id: UUID, change: KeyChange, by: Act) -> ApiKey:
        everyone, now = stored_keys.within(connection, organization), self._clock()
        before = _of(everyone, id)
        after = change.of(before)
        if after.expire_at != before.expire_at:
            check_expiry(after.expire_at, now)
        if after == before:
            return before
        check_admin_remains(everyone, after, before, now=now)
        if after.sources != before.sources:
            check_reach(everyone, after, address=by.actor.address, now=now)
        stored_keys.change(connection, after)
        for update, what in updates(before, after):
            deed = Deed(ActivityType.OPENAPI_KEY_UPDATE, what, key=id, key_update=update)
            by.note(connection, organization, now, deed)
        return after

    async def delete_key(self, organization: UUID, id: UUID, by: Act) -> None:
        """Raises NotFound, and Conflict when it is the key of who asks or nobody could manage keys any more."""

        def write(connection: Connection) -> None:
            everyone, now = stored_keys.within(connection, organization), self._clock()
            key = _of(everyone, id)
            if by.actor.type is ActorType.API and by.actor.id == str(id):
                raise Conflict("this is the key that the request is made with; delete it with another one")
            check_admin_remains(everyone, None, key, now=now)
            stored_keys.remove(connection, id)
            by.note(connection, organization, now, Deed(ActivityType.KEY_DELETE, f"'{key.name}'", key=id))

        await self._store.write(write)

    async def revoke_key(self, key_id: str, by: Act = BY_SYSTEM) -> None:
        """Disables it, at once. Raises NotFound, and Conflict when nobody could manage keys any more."""
        if (key := stored_keys.called_exactly(self._store, key_id)) is None:
            raise NotFound(f"there is no API key {key_id}")
        await self.change_key(key.organization, key.id, KeyChange(state=KeyState.DISABLED), by)

    async def store_uses(self) -> None:
        """Writes down when keys were last used: now and then, not once per request."""
        if uses := self._used:
            self._used = {}
            try:
                await self._store.write(lambda connection: stored_keys.note_use(connection, uses))
            except Unavailable:
                self._used = uses | self._used
                raise


@contextmanager
def open_access(state: Path) -> Generator[Access]:
    """Access to the store of a state directory, whether or not a server runs there. Raises SetupError."""
    with Store(store_file(state)) as store:
        yield Access(store)


def _made(organization: UUID, wanted: NewApiKey, key_id: str, suffix: str, now: datetime) -> ApiKey:
    return ApiKey(
        id=uuid4(),
        organization=organization,
        key_id=key_id,
        name=wanted.name,
        roles=wanted.roles,
        state=wanted.state,
        suffix=suffix,
        created_at=now,
        expire_at=wanted.expire_at,
        used_at=None,
        api_version=wanted.api_version,
        sources=listed(wanted.sources),
    )


def _add_organization(connection: Connection, by: Act, organization: Organization) -> None:
    stored_organizations.add(connection, organization)
    deed = Deed(ActivityType.CREATE_ORGANIZATION, f"'{organization.name}'")
    by.note(connection, organization.id, organization.created_at, deed)


def _add_key(connection: Connection, by: Act, key: ApiKey, secret_hash: bytes) -> None:
    stored_keys.add(connection, key, secret_hash)
    deed = Deed(ActivityType.KEY_CREATE, f"'{key.name}': {', '.join(key.roles)}", key=key.id)
    by.note(connection, key.organization, key.created_at, deed)


def _of(keys: list[ApiKey], id: UUID) -> ApiKey:
    if (found := next((key for key in keys if key.id == id), None)) is None:
        raise _no_key(id)
    return found


def _no_key(id: UUID) -> NotFound:
    return NotFound(f"there is no API key {id}")
