from __future__ import annotations

import pytest

from howdah.domain.catalog import Size, default_catalog
from howdah.domain.memory import Profile
from howdah.domain.settings import PostgresSettings
from howdah.engines.local import memory
from howdah.engines.local.configuration import max_connections
from howdah.engines.local.memory import available_gib, dedicated_memory


@pytest.mark.parametrize("size", default_catalog().sizes.values(), ids=lambda size: f"{size.provider} {size.name}")
def test_a_size_is_shared_out_and_no_more(size: Size) -> None:
    connections = max_connections(size)
    found = dedicated_memory(size, connections)
    mb = {name: int(value.removesuffix("MB")) for name, value in found.items() if value.endswith("MB")}
    memory = size.memory_gib * 1024
    assert mb["shared_buffers"] == memory // 4
    assert mb["shared_buffers"] + 3 * connections * mb["work_mem"] <= memory
    assert mb["shared_buffers"] + mb["effective_cache_size"] == memory
    assert 64 <= mb["maintenance_work_mem"] <= 2048


def test_shared_servers_are_promised_nothing() -> None:
    assert available_gib(PostgresSettings()) is None


def test_dedicated_ones_may_have_what_is_said_or_seven_eighths_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: 24 << 30)
    assert available_gib(PostgresSettings(profile=Profile.DEDICATED, memory_gib=9)) == 9
    assert available_gib(PostgresSettings(profile=Profile.DEDICATED)) == 21
