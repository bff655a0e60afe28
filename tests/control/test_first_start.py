from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from control.planes import NEW, running_plane, until

from howdah.control.access import open_access
from howdah.control.bootstrap import read_environment
from howdah.domain.errors import SetupError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_the_first_start_leaves_a_working_admin_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s", makes_store=True) as running:
        running.plane.announce("http://127.0.0.1:4711")
        environment = read_environment(tmp_path / "s" / "bootstrap.env")
        key = running.plane.access.authenticate(environment["KEY_ID"], environment["KEY_SECRET"])
        assert key is not None
        assert (str(key.organization), key.role) == (environment["ORG_ID"], "admin")
        assert environment["API_URL"] == "http://127.0.0.1:4711"
        for name in ("bootstrap.env", "secrets.key", "howdah.db", "howdah.db-wal", "lock"):
            assert mode(tmp_path / "s" / name) == 0o600, name
    async with running_plane(tmp_path / "s", makes_store=True):
        assert read_environment(tmp_path / "s" / "bootstrap.env") == environment


async def test_a_lost_first_key_is_not_made_again(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s", makes_store=True):
        (tmp_path / "s" / "bootstrap.env").unlink()
    async with running_plane(tmp_path / "s", makes_store=True) as running:
        running.plane.announce("http://127.0.0.1:4711")
        assert not (tmp_path / "s" / "bootstrap.env").exists()
        assert len(running.plane.access.keys(running.organization)) == 1


async def test_a_state_directory_has_one_control_plane_and_the_second_says_who_holds_it(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s", makes_store=True):
        with pytest.raises(SetupError, match=rf"another Howdah \(pid {os.getpid()}\) serves {tmp_path / 's'}"):
            async with running_plane(tmp_path / "s", makes_store=True):
                pass
    async with running_plane(tmp_path / "s", makes_store=True):
        pass


async def test_a_lost_secrets_key_is_refused_only_when_there_are_secrets(tmp_path: Path) -> None:
    key = tmp_path / "s" / "secrets.key"
    async with running_plane(tmp_path / "s", makes_store=True):
        pass
    key.unlink()
    async with running_plane(tmp_path / "s", makes_store=True) as running:
        service = await running.plane.services.create(running.organization, NEW)
    content = key.read_bytes()
    key.unlink()
    with pytest.raises(SetupError, match=r"secrets\.key is missing, and the store holds secrets"):
        async with running_plane(tmp_path / "s", makes_store=True):
            pass
    assert not key.exists()
    key.touch(0o600)
    key.write_bytes(content)
    async with running_plane(tmp_path / "s", makes_store=True) as running:
        assert running.plane.services.get(running.organization, service.id).password == service.password


async def test_another_process_makes_keys_while_the_server_runs(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from howdah.control.access import open_access
from howdah.domain.organizations import Role

async def main():
    with open_access(Path(sys.argv[1])) as access:
        for number in range(20):
            organization = await access.create_organization(f"org {number}")
            key, secret = await access.create_key(organization.id, name="k", role=Role.ADMIN, api_version=None)
            print(key.key_id, secret)

asyncio.run(main())
"""
    async with running_plane(tmp_path / "s", makes_store=True) as running:
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "s")], stdout=subprocess.PIPE, text=True
        )
        made = [await running.plane.services.create(running.organization, NEW) for _ in range(10)]
        await until("the other process ends", lambda: process.poll() is not None, 30)
        output, _ = process.communicate()
        assert process.returncode == 0
        keys = [line.split() for line in output.splitlines()]
        assert len(keys) == 20
        assert all(running.plane.access.authenticate(*key) for key in keys)
        assert len(running.plane.access.organizations()) == 21
        assert len(running.plane.services.list(running.organization)) == len(made)


async def test_access_can_be_opened_before_any_server_ran(tmp_path: Path) -> None:
    with open_access(tmp_path) as access:
        organization = await access.create_organization("First")
        assert access.organizations() == [organization]
