"""The slots by which a primary keeps WAL for read replicas are gone with them, whenever that was noticed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.local import Asked, Rig, ask, query, remove, settle
from howdah.domain.services import ServiceSecrets, ServiceStatus

pytestmark = pytest.mark.asyncio

SLOTS = "SELECT count(*) FROM pg_replication_slots"


def replicated(asked: Asked) -> Asked:
    return replace(asked, secrets=replace(asked.secrets, replication_password="to-be-copied"))


def followed_by(asked: Asked, *replicas: Asked) -> Asked:
    return replace(asked, spec=replace(asked.spec, followers=tuple(one.spec.id for one in replicas)))


def following(asked: Asked) -> Asked:
    replica = ask()
    secrets = ServiceSecrets(
        asked.secrets.password_verifier, replica.secrets.certificate_key, asked.secrets.replication_password
    )
    return Asked(replace(replica.spec, follows=asked.spec.id), secrets)


async def slots(status: ServiceStatus) -> int:
    return int((await query(status, SLOTS))[0][0])


async def test_the_slot_of_a_replica_that_came_and_went_between_two_looks(rig: Rig) -> None:
    async with rig.engine() as engine:
        alone = replicated(ask())
        replica = following(alone)
        status = await settle(engine, followed_by(alone, replica))  # the replica has no server yet
        await settle(engine, replica)
        assert await slots(status) == 1
        await remove(engine, replica)
        status = await settle(engine, alone)
        assert await slots(status) == 0


async def test_the_slot_of_a_replica_that_went_before_the_control_plane_was_killed(rig: Rig) -> None:
    alone = replicated(ask())
    replica = following(alone)
    async with rig.engine() as engine:
        status = await settle(engine, followed_by(alone, replica))
        await settle(engine, replica)
        await settle(engine, followed_by(alone, replica))
        await remove(engine, replica)
        assert await slots(status) == 1
    async with rig.engine() as engine:
        assert await slots(await settle(engine, alone)) == 0
