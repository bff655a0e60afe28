from __future__ import annotations

import pytest

from howdah.domain.catalog import default_catalog
from howdah.domain.errors import BadRequest

CATALOG = default_catalog()


def test_the_sizes_of_the_seed_are_on_offer() -> None:
    size = CATALOG.size("aws", "us-west-2", "r8gd.large")
    assert (size.vcpus, size.storage_gib) == (2, 118)
    assert CATALOG.check_storage(size, None) == CATALOG.check_storage(size, 118) == 118


def test_every_size_is_whole_and_its_provider_has_regions() -> None:
    assert CATALOG.providers == ("aws", "gcp")
    for (provider, name), size in CATALOG.sizes.items():
        assert (size.provider, size.name) == (provider, name)
        assert CATALOG.regions[provider]
        assert min(size.vcpus, size.memory_gib, size.storage_gib) > 0


def test_refusals_name_the_field_and_what_would_be_accepted() -> None:
    with pytest.raises(BadRequest, match="provider 'azure' is not offered; one of: aws, gcp"):
        CATALOG.check_provider("azure")
    with pytest.raises(BadRequest, match=r"region 'us-west-9' is not offered by aws; nearest: us-west-2.*catalog"):
        CATALOG.check_region("aws", "us-west-9")
    with pytest.raises(
        BadRequest, match=r"size 'r8gd.larg' is not offered by aws in us-west-2; nearest: r8gd\.large.*catalog"
    ):
        CATALOG.size("aws", "us-west-2", "r8gd.larg")
    with pytest.raises(BadRequest, match=r"size 'r8gd\.large' is not offered by gcp"):
        CATALOG.size("gcp", "us-central1", "r8gd.large")
    with pytest.raises(BadRequest, match=r"storageSize 5 does not belong to size r8gd\.large, which has 118"):
        CATALOG.check_storage(CATALOG.size("aws", "us-west-2", "r8gd.large"), 5)
