"""What is asked for when API keys are made and changed, and the rules: above all that somebody can manage keys."""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from howdah.domain.activities import KeyUpdate
from howdah.domain.errors import BadRequest, Conflict
from howdah.domain.organizations import ApiKey, ApiVersion, KeyState, Role
from howdah.domain.sources import EVERYWHERE, Source, admits

MAX_NAME = 50
MAX_KEYS = 1000
"""Of one organization: a list has all of them in one answer."""

_SUFFIX_LENGTH = 4
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class HashedKey:
    """A key that its owner made: SHA-256 of both halves, and the last characters of the key id."""

    key_id_hash: bytes
    suffix: str
    secret_hash: bytes


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """``hashed``: None: both halves are made here."""

    name: str
    roles: tuple[Role, ...]
    state: KeyState = KeyState.ENABLED
    expire_at: datetime | None = None
    sources: tuple[Source, ...] | None = None
    api_version: ApiVersion | None = None
    hashed: HashedKey | None = None


@dataclass(frozen=True, slots=True)
class Expiry:
    """``at``: None: never."""

    at: datetime | None


@dataclass(frozen=True, slots=True)
class KeyChange:
    """None is unchanged."""

    name: str | None = None
    roles: tuple[Role, ...] | None = None
    state: KeyState | None = None
    expiry: Expiry | None = None
    sources: tuple[Source, ...] | None = None

    def of(self, key: ApiKey) -> ApiKey:
        """``key`` as it is wanted."""
        return replace(
            key,
            name=key.name if self.name is None else self.name,
            roles=key.roles if self.roles is None else self.roles,
            state=key.state if self.state is None else self.state,
            expire_at=key.expire_at if self.expiry is None else self.expiry.at,
            sources=key.sources if self.sources is None else listed(self.sources),
        )


def check_name(name: str) -> str:
    """The name of a key or an organization, trimmed. Raises BadRequest naming the rule that it breaks."""
    trimmed = name.strip()
    if not 1 <= len(trimmed) <= MAX_NAME:
        raise BadRequest(f"name has {len(trimmed)} characters; it must have 1 to {MAX_NAME}")
    if wrong := next((character for character in trimmed if not character.isprintable()), None):
        raise BadRequest(f"name has the character {wrong!a}; control and other unprintable characters are not allowed")
    return trimmed


def check_expiry(at: datetime | None, now: datetime) -> None:
    """Raises BadRequest for a moment that has passed."""
    if at is not None and at <= now:
        raise BadRequest(f"expireAt {at:%Y-%m-%dT%H:%M:%SZ} has passed; it must be in the future, or null: never")


def check_hashes(key_id_hash: str, suffix: str, secret_hash: str) -> HashedKey:
    """Raises BadRequest naming the field of hashData that is wrong."""
    if len(suffix) != _SUFFIX_LENGTH or not (suffix.isascii() and suffix.isprintable()):
        raise BadRequest(
            f"hashData.keyIdSuffix must be the last {_SUFFIX_LENGTH} characters of the key id, printable ASCII"
        )
    return HashedKey(_hash(key_id_hash, "hashData.keyIdHash"), suffix, _hash(secret_hash, "hashData.keySecretHash"))


def updates(before: ApiKey, after: ApiKey) -> Iterator[tuple[KeyUpdate, str]]:
    """What differs, in words."""
    if after.name != before.name:
        yield KeyUpdate.NAME, f"name: '{before.name}' → '{after.name}'"
    if after.roles != before.roles:
        yield KeyUpdate.ROLE, f"roles: {', '.join(before.roles)} → {', '.join(after.roles)}"
    if after.state is not before.state:
        yield KeyUpdate.STATE, f"state: {before.state} → {after.state}"
    if after.expire_at != before.expire_at:
        yield KeyUpdate.EXPIRY, f"expireAt: {_moment(before.expire_at)} → {_moment(after.expire_at)}"
    if after.sources != before.sources:
        yield KeyUpdate.SOURCES, f"ipAccessList: {_texts(before.sources)} → {_texts(after.sources)}"


def check_admin_remains(before: Sequence[ApiKey], after: ApiKey | None, changed: ApiKey, *, now: datetime) -> None:
    """Raises Conflict when ``changed``, one of the keys ``before``, is the last with which keys can be managed, and
    would not be any more as ``after`` (None: deleted)."""
    others = [key for key in before if key.id != changed.id]
    remaining = others if after is None else [*others, after]
    # A key that will expire is not enough where there was one for good: nobody may be there to replace it in time.
    if _any_for_good(before, now) and not _any_for_good(remaining, now):
        _refuse(changed, after, " that does not expire" if _any_usable(others, now) else "")
    if _any_usable(before, now) and not _any_usable(remaining, now):
        _refuse(changed, after, "")


def check_reach(before: Sequence[ApiKey], after: ApiKey, *, address: str | None, now: datetime) -> None:
    """Raises Conflict when the access list of the only usable admin key would exclude ``address``, that of who asks
    for it with that very key."""
    others = [key for key in before if key.id != after.id]
    if address is None or after.sources is None or admits(after.sources, address) or _any_usable(others, now):
        return
    if _is_usable(after, now):
        raise Conflict(
            f"ipAccessList would lock you out: it has no {address}, from where you ask, and there is no other usable"
            " admin key; add that address, or create another admin key first"
        )


def _refuse(changed: ApiKey, after: ApiKey | None, which: str) -> None:
    raise Conflict(
        f"the key '{changed.name}' cannot be {_deed(changed, after)}: it is the organization's last usable admin key"
        f"{which}, and nobody could manage its keys; create another admin key first"
    )


def _deed(before: ApiKey, after: ApiKey | None) -> str:
    if after is None:
        return "deleted"
    if after.state is not before.state:
        return "disabled"
    if Role.ADMIN not in after.roles:
        return "demoted"
    if after.expire_at != before.expire_at:
        return "made to expire"
    return "closed to every address"


def _any_usable(keys: Iterable[ApiKey], now: datetime) -> bool:
    return any(_is_usable(key, now) for key in keys)


def _any_for_good(keys: Iterable[ApiKey], now: datetime) -> bool:
    return any(_is_usable(key, now) and key.expire_at is None for key in keys)


def _is_usable(key: ApiKey, now: datetime) -> bool:
    unexpired = key.expire_at is None or key.expire_at > now
    return key.role is Role.ADMIN and key.state is KeyState.ENABLED and unexpired and key.sources != ()


def listed(sources: tuple[Source, ...] | None) -> tuple[Source, ...] | None:
    """The same, with None for the list that is shown of a key without one."""
    return None if sources == EVERYWHERE else sources


def _hash(text: str, field: str) -> bytes:
    try:
        content = b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        content = b""
    if len(content) != _HASH_BYTES:
        raise BadRequest(
            f"{field} must be a SHA-256 in base64, 44 characters (printf %s … | openssl sha256 -binary | base64)"
        )
    if content == hashlib.sha256().digest():
        raise BadRequest(f"{field} is the hash of nothing; both halves of a key must have characters")
    return content


def _moment(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _texts(sources: Sequence[Source] | None) -> str:
    return "everywhere" if sources is None else ", ".join(source.text for source in sources) or "nowhere"
