"""Organizations and the API keys that act for them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import Connection

from howdah.control.clock import Clock, utc_now
from howdah.control.paths import store_file
from howdah.domain.errors import BadRequest, NotFound, Unavailable
from howdah.domain.organizations import ApiKey, ApiVersion, KeyState, Organization, Role
from howdah.security.keys import NewKey, hash_secret, matches, new_key
from howdah.store import keys as stored_keys
from howdah.store import organizations as stored_organizations
from howdah.store.store import Store

MAX_NAME = 50


class Access:
    """Who may act. Reads come from the store each time: a key that another process revoked stops working at once."""

    def __init__(self, store: Store, clock: Clock = utc_now) -> None:
        self._store = store
        self._clock = clock
        self._used: dict[str, datetime] = {}

    def authenticate(self, key_id: str, secret: str) -> ApiKey | None:
        """The key, when it exists, is enabled, has not expired, and this is its secret. Takes the same time for a key
        that does not exist."""
        found = stored_keys.by_key_id(self._store, key_id) if key_id.isascii() else None
        if not matches(secret, None if found is None else found[1]) or found is None:
            return None
        key, now = found[0], self._clock()
        if key.state is not KeyState.ENABLED or (key.expire_at is not None and key.expire_at <= now):
            return None
        self._used[key_id] = now
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
        return stored_keys.of(self._store, organization)

    def key(self, organization: UUID, id: UUID) -> ApiKey:
        """Raises NotFound, for another organization's key too."""
        if (found := stored_keys.find(self._store, organization, id)) is None:
            raise NotFound(f"there is no API key {id}")
        return found

    async def create_first(self, hand_over: Callable[[Organization, NewKey], None]) -> None:
        """An organization and its admin key, when there is no organization yet. ``hand_over`` gets them on the writer
        thread before they are stored; when it raises, nothing is."""
        organization = Organization(uuid4(), "Default", self._clock())
        key, secret_hash, new = self._new_key(organization.id, "Admin", Role.ADMIN, None)

        def write(connection: Connection) -> None:
            if stored_organizations.exist(connection):
                return
            stored_organizations.add(connection, organization)
            stored_keys.add(connection, key, secret_hash)
            hand_over(organization, new)

        await self._store.write(write)

    async def create_organization(self, name: str) -> Organization:
        """Raises BadRequest when the name breaks its rule."""
        organization = Organization(uuid4(), _check_name(name), self._clock())
        await self._store.write(lambda connection: stored_organizations.add(connection, organization))
        return organization

    async def set_retention(self, organization: UUID, days: int | None) -> Organization:
        """How long services of the organization can be restored; None: as the settings say. Raises NotFound."""
        self.organization(organization)
        await self._store.write(lambda connection: stored_organizations.set_retention(connection, organization, days))
        return self.organization(organization)

    async def create_key(
        self, organization: UUID, *, name: str, role: Role, api_version: ApiVersion | None
    ) -> tuple[ApiKey, str]:
        """The key and its secret, which is never shown again. Raises NotFound, BadRequest."""
        self.organization(organization)
        key, secret_hash, new = self._new_key(organization, _check_name(name), role, api_version)
        await self._store.write(lambda connection: stored_keys.add(connection, key, secret_hash))
        return key, new.secret

    def _new_key(
        self, organization: UUID, name: str, role: Role, api_version: ApiVersion | None
    ) -> tuple[ApiKey, bytes, NewKey]:
        new = new_key()
        key = ApiKey(
            id=uuid4(),
            organization=organization,
            key_id=new.key_id,
            name=name,
            role=role,
            state=KeyState.ENABLED,
            suffix=new.suffix,
            created_at=self._clock(),
            expire_at=None,
            used_at=None,
            api_version=api_version,
        )
        return key, hash_secret(new.secret), new

    async def revoke_key(self, key_id: str) -> None:
        """Disables it, at once and for good. Raises NotFound."""
        if not await self._store.write(lambda connection: stored_keys.disable(connection, key_id)):
            raise NotFound(f"there is no API key {key_id}")

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


def _check_name(name: str) -> str:
    trimmed = name.strip()
    if not 1 <= len(trimmed) <= MAX_NAME:
        raise BadRequest(f"name has {len(trimmed)} characters; it must have 1 to {MAX_NAME}")
    if wrong := next((character for character in trimmed if not character.isprintable()), None):
        raise BadRequest(f"name has the character {wrong!a}; control and other unprintable characters are not allowed")
    return trimmed
