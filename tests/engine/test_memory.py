"""Servers that have the memory of their size for themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.local import Asked, Rig, ask, query, settle
from howdah.domain.catalog import default_catalog
from howdah.domain.memory import Profile
from howdah.domain.states import PostgresVersion


def sized(asked: Asked, name: str) -> Asked:
    size = next(one for one in default_catalog().sizes.values() if one.name == name)
    return replace(asked, spec=replace(asked.spec, size=size))


@pytest.mark.parametrize("version", PostgresVersion)
async def test_a_dedicated_server_has_what_its_size_says_and_another_after_a_change(version: PostgresVersion) -> None:
    rig = Rig(profile=Profile.DEDICATED)
    try:
        async with rig.engine() as engine:
            small = sized(ask(version), "c6gd.large")
            shown = "SELECT current_setting('shared_buffers'), current_setting('effective_cache_size')"
            assert await query(await settle(engine, small), shown) == [("1GB", "3GB")]
            large = sized(small, "c6gd.xlarge").restarted()
            assert await query(await settle(engine, large), shown) == [("2GB", "6GB")]
            waiting = "SELECT name FROM pg_settings WHERE pending_restart"
            assert await query(await settle(engine, large), waiting) == []
    finally:
        rig.clean()
