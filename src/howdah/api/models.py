"""The bodies that calls accept, as pydantic sees them. Rules beyond shape and type are the core's.

Typed dictionaries, because in a merge patch "absent" and "null" differ. ``NOT_YET`` names fields of the contract whose
work is not done: refused by name, because an ignored access list or setting would be worse than an error.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, cast

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from howdah.domain.keys import MAX_NAME as MAX_KEY_NAME
from howdah.domain.names import MAX_NAME
from howdah.domain.organizations import KeyState, Role
from howdah.domain.passwords import MAX_LENGTH, MIN_LENGTH
from howdah.domain.sources import MAX_DESCRIPTION, MAX_SOURCES
from howdah.domain.states import HaType, PostgresVersion
from howdah.domain.tags import MAX_KEY, MAX_TAGS, MAX_VALUE

_STRICT = ConfigDict(strict=True, extra="forbid")


def _text(description: str, **rules: object) -> Any:
    """A string whose ``rules`` the document states; the core checks them, with a better sentence than pydantic's."""
    return Field(description=description, json_schema_extra=cast("dict[str, Any]", rules))


Version = Annotated[PostgresVersion, Field(strict=False, description="Major version of Postgres; 17 when absent")]
Ha = Annotated[HaType, Field(strict=False, description="async: one standby; sync: two, and commits wait for one")]
Name = Annotated[
    str,
    _text("Trimmed; need not be unique", minLength=1, maxLength=MAX_NAME, pattern=r"^[A-Za-z0-9 _.-]+$"),
]
Provider = Annotated[str, _text("A provider of the catalog", examples=["aws"])]
Region = Annotated[str, _text("A region of the provider", examples=["us-west-2"])]
SizeName = Annotated[str, _text("A size of the provider", examples=["r8gd.large"])]
StorageSize = Annotated[
    int, Field(description="GiB; the one that belongs to the size, also when absent", examples=[118])
]
Password = Annotated[
    str,
    _text(
        "With a lower-case letter, an upper-case letter and a digit; absent: one is generated and returned",
        minLength=MIN_LENGTH,
        maxLength=MAX_LENGTH,
        allOf=[{"pattern": "[a-z]"}, {"pattern": "[A-Z]"}, {"pattern": "[0-9]"}],
    ),
]
Command = Annotated[
    str,
    _text(
        "promote: of a read replica, which becomes independent; switchover: with high availability, another server"
        " becomes the primary",
        enum=["restart", "promote", "switchover"],
    ),
]
_TAG_PATTERN = "^[a-zA-Z0-9._-]*$"


@with_config(_STRICT)
class Tag(TypedDict):
    key: Annotated[str, _text("Unique", minLength=1, maxLength=MAX_KEY, pattern=_TAG_PATTERN, examples=["Environment"])]
    value: NotRequired[Annotated[str, _text("May be absent", maxLength=MAX_VALUE, pattern=_TAG_PATTERN)]]


Tags = Annotated[
    list[Tag],
    Field(
        description="Keys are unique; the prefixes chc_ and howdah_ are reserved",
        json_schema_extra={"maxItems": MAX_TAGS},
    ),
]


@with_config(_STRICT)
class PostgresServicePostRequest(TypedDict):
    name: Name
    provider: Provider
    region: Region
    size: SizeName
    storageSize: NotRequired[StorageSize]
    postgresVersion: NotRequired[Version]
    haType: NotRequired[Ha]
    tags: NotRequired[Tags]


@with_config(_STRICT)
class PostgresServicePatchRequest(TypedDict, total=False):
    name: Name
    tags: Annotated[list[Tag] | None, Field(description="Replaces all tags; null removes them")]
    size: SizeName
    haType: Ha
    provider: Provider
    region: Region
    storageSize: StorageSize
    postgresVersion: Version


@with_config(_STRICT)
class PostgresServiceSetPassword(TypedDict, total=False):
    password: Password


@with_config(_STRICT)
class PostgresServiceSetState(TypedDict):
    command: Command


@with_config(_STRICT)
class PostgresServiceRestoreRequest(TypedDict):
    name: Name
    restoreTarget: Annotated[
        str,
        _text(
            "RFC 3339, to the microsecond, from earliestRestoreTime to now; or latest",
            examples=["2026-03-31T18:17:37Z"],
        ),
    ]
    tags: NotRequired[Tags]


@with_config(_STRICT)
class PostgresServiceReadReplicaRequest(TypedDict):
    name: Name
    tags: NotRequired[Tags]


@with_config(_STRICT)
class FailoverRequest(TypedDict):
    acceptDataLoss: Annotated[bool, Field(description="true: commits that were acknowledged may be lost")]


class IpAccessListEntry(TypedDict):
    source: Annotated[str, _text("An IPv4 or IPv6 address or network", examples=["192.0.2.0/24"])]
    description: NotRequired[Annotated[str, _text("For people", maxLength=MAX_DESCRIPTION)]]


_HASH = {"minLength": 44, "maxLength": 44}


@with_config(_STRICT)
class ApiKeyHashData(TypedDict):
    keyIdHash: Annotated[str, _text("SHA-256 of the key id in base64", **_HASH)]
    keyIdSuffix: Annotated[str, _text("The last 4 characters of the key id", minLength=4, maxLength=4)]
    keySecretHash: Annotated[str, _text("SHA-256 of the key secret in base64", **_HASH)]


KeyName = Annotated[str, _text("Trimmed; need not be unique", minLength=1, maxLength=MAX_KEY_NAME)]
State = Annotated[KeyState, Field(strict=False)]
Roles = Annotated[
    list[Annotated[Role, Field(strict=False)]],
    Field(description="One at least; the strongest counts", json_schema_extra={"minItems": 1, "uniqueItems": True}),
]
RoleIds = Annotated[list[str], Field(description="The same by the ids of the roles", json_schema_extra={"minItems": 1})]
ExpireAt = Annotated[str | None, _text("RFC 3339, in the future; null or empty: never")]
KeySources = Annotated[
    list[IpAccessListEntry],
    Field(
        description="From where the key may be used; absent: from everywhere, empty: from nowhere",
        json_schema_extra={"maxItems": MAX_SOURCES},
    ),
]


@with_config(_STRICT)
class ApiKeyPostRequest(TypedDict):
    name: KeyName
    expireAt: NotRequired[ExpireAt]
    state: NotRequired[State]
    hashData: NotRequired[ApiKeyHashData]
    roles: NotRequired[Roles]
    assignedRoleIds: NotRequired[RoleIds]
    ipAccessList: NotRequired[KeySources]


@with_config(_STRICT)
class ApiKeyPatchRequest(TypedDict, total=False):
    name: KeyName
    expireAt: ExpireAt
    state: State
    roles: Roles
    assignedRoleIds: RoleIds
    ipAccessList: KeySources


NESTED: dict[str, type] = {"tags": Tag, "ipAccessList": IpAccessListEntry, "hashData": ApiKeyHashData}
"""By field: what is in it."""

NOT_YET: dict[object, tuple[str, ...]] = {
    PostgresServicePostRequest: ("pgConfig", "pgBouncerConfig", "ipAccessList"),
    PostgresServiceRestoreRequest: ("pgConfig", "pgBouncerConfig", "ipAccessList"),
    PostgresServiceReadReplicaRequest: ("pgConfig", "pgBouncerConfig", "ipAccessList"),
    PostgresServicePatchRequest: ("pgConfig", "pgBouncerConfig", "ipAccessList"),
}
"""By body: fields of the contract that are refused until they are built."""
