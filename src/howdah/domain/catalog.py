"""What can be asked for: providers, their regions, and sizes with their storage.

The default catalog is upstream's, as names that an operator maps onto what the machines really have.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from howdah.domain.errors import BadRequest

REGIONS: dict[str, tuple[str, ...]] = {
    "aws": (
        "ap-northeast-1",
        "ap-northeast-2",
        "ap-south-1",
        "ap-southeast-1",
        "ap-southeast-2",
        "ca-central-1",
        "eu-central-1",
        "eu-west-1",
        "eu-west-2",
        "il-central-1",
        "us-east-1",
        "us-east-2",
        "us-west-2",
    ),
    "gcp": (
        "asia-northeast1",
        "asia-southeast1",
        "europe-west2",
        "europe-west4",
        "us-central1",
        "us-east1",
    ),
}
"""Regions by provider."""

_ALL = "all: GET /v1/howdah/catalog"


@dataclass(frozen=True, slots=True)
class Size:
    """A size of one provider: virtual CPUs, memory in GiB, and the one storage size in GiB that belongs to it."""

    name: str
    provider: str
    vcpus: int
    memory_gib: int
    storage_gib: int
    arch: str


@dataclass(frozen=True, slots=True)
class Catalog:
    regions: dict[str, tuple[str, ...]]
    sizes: dict[tuple[str, str], Size]
    """By provider and name."""

    @property
    def providers(self) -> tuple[str, ...]:
        return tuple(self.regions)

    def check_provider(self, provider: str) -> str:
        if provider not in self.regions:
            raise BadRequest(f"provider {provider!r} is not offered; one of: {', '.join(self.providers)}")
        return provider

    def check_region(self, provider: str, region: str) -> str:
        if region not in self.regions[provider]:
            raise BadRequest(
                f"region {region!r} is not offered by {provider}; {_nearest(region, self.regions[provider])}; {_ALL}"
            )
        return region

    def size(self, provider: str, region: str, name: str) -> Size:
        """The size of that name. Raises BadRequest with the nearest names when it is not offered."""
        found = self.sizes.get((provider, name))
        if found is None:
            names = [size.name for size in self.sizes.values() if size.provider == provider]
            raise BadRequest(f"size {name!r} is not offered by {provider} in {region}; {_nearest(name, names)}; {_ALL}")
        return found

    def check_storage(self, size: Size, storage_gib: int | None) -> int:
        """The storage of ``size`` in GiB; a given one must be that one."""
        if storage_gib is not None and storage_gib != size.storage_gib:
            raise BadRequest(
                f"storageSize {storage_gib} does not belong to size {size.name}, which has {size.storage_gib};"
                " leave it out or give that one"
            )
        return size.storage_gib


def _nearest(wanted: str, offered: Iterable[str]) -> str:
    offered = list(offered)
    near = difflib.get_close_matches(wanted, offered, n=3, cutoff=0.5) or offered[:3]
    return "nearest: " + ", ".join(near)


@cache
def default_catalog() -> Catalog:
    """Upstream's catalog."""
    rows: list[dict[str, Any]] = json.loads(files("howdah.domain").joinpath("data/sizes.json").read_bytes())
    sizes = [
        Size(
            name=row["size"],
            provider=row["provider"],
            vcpus=row["vcpus"],
            memory_gib=row["memoryGiB"],
            storage_gib=row["storageGiB"][0],
            arch=row["arch"],
        )
        for row in rows
    ]
    return Catalog(regions=REGIONS, sizes={(size.provider, size.name): size for size in sizes})
