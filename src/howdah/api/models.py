"""The bodies that calls accept, as pydantic sees them. Rules beyond shape and type are the core's.

Typed dictionaries, because in a merge patch "absent" and "null" differ. ``NOT_YET`` names fields of the contract whose
work is not done: refused by name, because an ignored access list or setting would be worse than an error.
"""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from howdah.domain.states import HaType, PostgresVersion

_STRICT = ConfigDict(strict=True, extra="forbid")

Version = Annotated[PostgresVersion, Field(strict=False, description="Major version of Postgres")]
Ha = Annotated[HaType, Field(strict=False, description="High availability; other than none is not yet supported")]
Name = Annotated[
    str, Field(description="1 to 50 ASCII letters, digits, spaces, hyphens, underscores and dots; need not be unique")
]
Provider = Annotated[str, Field(description="A provider of the catalog", examples=["aws"])]
Region = Annotated[str, Field(description="A region of the provider", examples=["us-west-2"])]
SizeName = Annotated[str, Field(description="A size of the provider", examples=["r8gd.large"])]
StorageSize = Annotated[
    int, Field(description="GiB; the one that belongs to the size, also when absent", examples=[118])
]


@with_config(_STRICT)
class Tag(TypedDict):
    key: Annotated[str, Field(description="1 to 128 characters of a-z A-Z 0-9 . _ -", examples=["Environment"])]
    value: NotRequired[Annotated[str, Field(description="Up to 256 of the same", examples=["production"])]]


Tags = Annotated[
    list[Tag], Field(description="At most 50 with unique keys; the prefixes chc_ and howdah_ are reserved")
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
    password: Annotated[
        str,
        Field(
            description="12 to 1024 characters with a lower-case letter, an upper-case letter and a digit;"
            " absent: one is generated and returned"
        ),
    ]


@with_config(_STRICT)
class PostgresServiceSetState(TypedDict):
    command: Annotated[str, Field(description="restart; promote and switchover are not yet supported")]


NOT_YET: dict[object, tuple[str, ...]] = {
    PostgresServicePostRequest: ("pgConfig", "pgBouncerConfig", "ipAccessList"),
    PostgresServicePatchRequest: ("pgConfig", "pgBouncerConfig", "ipAccessList"),
}
"""By body: fields of the contract that are refused until they are built."""
