from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from control.planes import NEW, running_plane, until

from howdah.domain.errors import NotFound
from howdah.domain.ids import ServiceId
from howdah.domain.organizations import ApiVersion, KeyState, Role
from howdah.domain.services import ServiceChange


async def test_no_call_reaches_a_service_of_another_organization(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        services = running.plane.services
        service = await services.create(running.organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
        before = services.get(running.organization, service.id)
        other = (await running.plane.access.create_organization("Other")).id
        for stranger in (other, uuid4()):
            for read in (services.get, services.ca_certificates):
                with pytest.raises(NotFound):
                    read(stranger, service.id)
            for command in (
                services.change(stranger, service.id, ServiceChange(name="taken")),
                services.set_password(stranger, service.id, None),
                services.restart(stranger, service.id),
                services.delete(stranger, service.id),
            ):
                with pytest.raises(NotFound, match=f"there is no Postgres service {service.id}"):
                    await command
            assert services.list(stranger) == []
        assert services.get(running.organization, service.id) == before
        with pytest.raises(NotFound):
            await services.create(uuid4(), NEW)
        with pytest.raises(NotFound):
            services.get(running.organization, ServiceId.new())


async def test_keys_authenticate_for_their_organization_until_they_are_revoked(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        access = running.plane.access
        other = await access.create_organization("  Other ")
        assert other.name == "Other"
        key, secret = await access.create_key(other.id, name="ci", role=Role.DEVELOPER, api_version=ApiVersion.BETA)
        assert access.authenticate(key.key_id, secret) == key
        assert (key.organization, key.suffix, len(key.key_id)) == (other.id, secret[-4:], 20)
        for wrong in ("", secret[:-1], secret + "x", "ä", "\0", "\ud800"):
            assert access.authenticate(key.key_id, wrong) is None
        for unknown in ("", "x" * 20, "ä", "\0", "\ud800"):
            assert access.authenticate(unknown, secret) is None
        assert [k.id for k in access.keys(other.id)] == [key.id]
        assert key.id not in [k.id for k in access.keys(running.organization)]
        with pytest.raises(NotFound):
            access.key(running.organization, key.id)
        await access.store_uses()
        assert access.key(other.id, key.id).used_at is not None
        await access.revoke_key(key.key_id)
        assert access.authenticate(key.key_id, secret) is None
        assert access.key(other.id, key.id).state is KeyState.DISABLED
        with pytest.raises(NotFound):
            await access.revoke_key("x" * 20)


async def test_lists_are_oldest_first_without_passwords_and_can_be_narrowed(tmp_path: Path) -> None:
    from dataclasses import replace

    from howdah.domain.states import ServiceState
    from howdah.domain.tags import Tag

    async with running_plane(tmp_path / "s") as running:
        services, organization = running.plane.services, running.organization
        first = await services.create(organization, replace(NEW, name="a", tags=(Tag("team", "x"), Tag("bare"))))
        second = await services.create(organization, replace(NEW, name="b", tags=(Tag("team", "y"),)))
        await until("run", lambda: all(s.state == "running" for s in services.list(organization)))
        assert [s.id for s in services.list(organization)] == [first.id, second.id]
        assert {s.password for s in services.list(organization)} == {""}
        for narrowed, expected in (
            ({"name": "b"}, [second.id]),
            ({"tag": Tag("team")}, [first.id, second.id]),
            ({"tag": Tag("team", "y")}, [second.id]),
            ({"tag": Tag("bare")}, [first.id]),
            ({"tag": Tag("tea")}, []),
            ({"state": ServiceState.RUNNING}, [first.id, second.id]),
            ({"state": ServiceState.CREATING}, []),
        ):
            assert [s.id for s in services.list(organization, **narrowed)] == expected, narrowed
