"""The key of the secrets is replaced while a control plane works, and by a rotation that is killed anywhere."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from control.planes import NEW, running_plane

from howdah.control import rotation
from howdah.control.paths import secrets_key_file, store_file
from howdah.control.rotation import rotate
from howdah.control.vault import open_vault
from howdah.domain.errors import SetupError, Unavailable
from howdah.domain.services import Service
from howdah.security.sealing import KEY_ID, KeyFile
from howdah.store import secrets
from howdah.store.store import Store

KILLED_AT = """
import asyncio, os, signal, sys
from pathlib import Path
from howdah.control.rotation import rotate
from howdah.security.sealing import KeyFile
from howdah.store.store import Store

state, wanted, step = Path(sys.argv[1]), int(sys.argv[2]), 0

def boundary(event, arguments):
    global step
    if event in ("os.rename", "os.remove", "os.truncate", "sqlite3.connect") or (event == "open" and arguments[2]):
        step += 1
        if step == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

with Store(state / "howdah.db") as store:
    original = store.write
    async def write(change):
        boundary("os.rename", ())
        result = await original(change)
        boundary("os.rename", ())
        return result
    store.write = write
    sys.addaudithook(boundary)
    asyncio.run(rotate(store, KeyFile(state / "secrets.key")))
"""


async def test_everything_is_sealed_with_the_new_key_while_the_control_plane_works(tmp_path: Path) -> None:
    async with running_plane(tmp_path) as running:
        services, organization = running.plane.services, running.organization
        first = await services.create(organization, NEW)
        before = secrets_key_file(tmp_path).read_text()
        with Store(store_file(tmp_path)) as other:
            done = await rotate(other, KeyFile(secrets_key_file(tmp_path)))
            assert secrets.key_ids(other, KEY_ID) == {bytes.fromhex(done.key_id)}
        after = secrets_key_file(tmp_path).read_text()
        assert len(after.splitlines()) == 1
        assert after != before
        assert services.get(organization, first.id).password == first.password
        second = await services.create(organization, replace(NEW, name="another"))
        assert services.get(organization, second.id).password == second.password
        with Store(store_file(tmp_path)) as other:
            assert secrets.key_ids(other, KEY_ID) == {bytes.fromhex(done.key_id)}
            open_vault(other, secrets_key_file(tmp_path))


async def test_nothing_is_lost_of_what_is_created_during_rotations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "BATCH", 1)
    async with running_plane(tmp_path) as running:
        services, organization = running.plane.services, running.organization

        async def create_some() -> list[Service]:
            return [await services.create(organization, replace(NEW, name=f"s{n}")) for n in range(8)]

        async def rotate_often() -> None:
            with Store(store_file(tmp_path)) as other:
                for _ in range(4):
                    await rotate(other, KeyFile(secrets_key_file(tmp_path)))

        made, *_ = await asyncio.gather(create_some(), rotate_often(), rotate_often())
        with Store(store_file(tmp_path)) as other:
            await rotate(other, KeyFile(secrets_key_file(tmp_path)))
            assert len(secrets.key_ids(other, KEY_ID)) == 1
            open_vault(other, secrets_key_file(tmp_path))
        for one in made:
            assert services.get(organization, one.id).password == one.password
    assert len(secrets_key_file(tmp_path).read_text().splitlines()) == 1


@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.long)])
async def test_a_rotation_killed_at_any_step_leaves_every_key_that_is_needed(tmp_path: Path, stride: int) -> None:
    """Steps: before and after each transaction, and whenever a file is opened, renamed or removed."""
    state = tmp_path / "state"
    async with running_plane(state) as running:
        made = await running.plane.services.create(running.organization, NEW)
    killed, first = 0, random.randint(1, stride)
    print(f"every {stride} steps from {first} on")
    for step in range(first, 200, stride):
        copy = tmp_path / f"copy{step}"
        shutil.copytree(state, copy)
        ended = subprocess.run([sys.executable, "-c", KILLED_AT, str(copy), str(step)], check=False, timeout=60)
        async with running_plane(copy) as running:  # it starts, and opens what it has
            assert running.plane.services.get(running.organization, made.id).password == made.password
        with Store(store_file(copy)) as store:
            await rotate(store, KeyFile(secrets_key_file(copy)))
            assert len(secrets.key_ids(store, KEY_ID)) == 1
        assert len(secrets_key_file(copy).read_text().splitlines()) == 1
        shutil.rmtree(copy)
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
        killed += 1
    assert killed >= 10 // stride


async def test_an_old_copy_of_the_key_file_opens_an_old_copy_of_the_store(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "now") as running:
        made = await running.plane.services.create(running.organization, NEW)
    shutil.copytree(tmp_path / "now", tmp_path / "old")
    with Store(store_file(tmp_path / "now")) as store:
        await rotate(store, KeyFile(secrets_key_file(tmp_path / "now")))
    async with running_plane(tmp_path / "old") as running:
        assert running.plane.services.get(running.organization, made.id).password == made.password
    shutil.copy(secrets_key_file(tmp_path / "now"), secrets_key_file(tmp_path / "old"))
    with pytest.raises(SetupError, match="lacks the key"):
        async with running_plane(tmp_path / "old"):
            pass


async def test_without_its_key_file_a_control_plane_stores_no_secret(tmp_path: Path) -> None:
    async with running_plane(tmp_path) as running:
        os.rename(secrets_key_file(tmp_path), tmp_path / "aside")
        with pytest.raises(Unavailable, match=r"secrets\.key cannot be read: No such file.*nothing was changed"):
            await running.plane.services.create(running.organization, NEW)
        os.rename(tmp_path / "aside", secrets_key_file(tmp_path))
        await running.plane.services.create(running.organization, NEW)


async def test_a_secret_that_cannot_be_opened_stops_the_rotation_and_keeps_the_keys(tmp_path: Path) -> None:
    async with running_plane(tmp_path) as running:
        made = await running.plane.services.create(running.organization, NEW)
        with Store(store_file(tmp_path)) as store:
            sealed = secrets.of(store, made.id)
            broken = {"first_root_key": sealed["first_root_key"][:-1] + bytes([sealed["first_root_key"][-1] ^ 1])}
            await store.write(lambda connection: secrets.put(connection, made.id, broken))
            with pytest.raises(SetupError, match=f"the secret of secrets.sealed {made.id.uuid} first_root_key cannot"):
                await rotate(store, KeyFile(secrets_key_file(tmp_path)))
        assert len(secrets_key_file(tmp_path).read_text().splitlines()) == 2
        assert running.plane.services.get(running.organization, made.id).password == made.password
