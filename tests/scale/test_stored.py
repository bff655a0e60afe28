"""What a request costs does not depend on how many services are stored."""

from __future__ import annotations

from dataclasses import dataclass, replace

from api.client import Client

from howdah.domain.ids import ServiceId
from howdah.domain.organizations import Role
from scale.stored import multiply
from scale.work import Work, work_of

FEW, MANY = 10, 10_000


@dataclass(frozen=True)
class Costs:
    get: Work
    list: Work
    refused: Work

    def are_about(self, other: Costs) -> bool:
        return self.get.is_about(other.get) and self.list.is_about(other.list) and self.refused.is_about(other.refused)


async def costs(client: Client, service: str) -> Costs:
    """Of requests as its users send them, through all of the application."""

    async def get() -> None:
        await client.http.get(f"{client.services}/{service}", auth=client.auth)

    async def listing() -> None:
        assert len((await client.http.get(client.services, auth=client.auth)).json()["result"]) == FEW

    async def refused() -> None:
        await client.http.get(f"{client.services}/pg000000000000000000000000", auth=client.auth)

    store = client.plane.store
    return Costs(await work_of(store, get), await work_of(store, listing), await work_of(store, refused))


async def test_get_and_list_are_the_same_work_among_ten_thousand_services_as_among_ten(client: Client):
    first = await client.running()
    access, original = client.plane.access, ServiceId.parse(first["id"])
    await multiply(client.plane, original, client.organization, FEW - 1)
    among_few = await costs(client, first["id"])

    other = await access.create_organization("Another")
    await multiply(client.plane, original, other.id, MANY)
    among_many = await costs(client, first["id"])
    assert among_many.are_about(among_few), (among_many, among_few)

    key, secret = await access.create_key(other.id, name="test", role=Role.ADMIN, api_version=None)
    crowd = replace(client, organization=other.id, auth=(key.key_id, secret))
    found = (await crowd.http.get(crowd.services, auth=crowd.auth)).json()["result"]
    assert len(found) == MANY
    assert {one["state"] for one in found} == {"running"}
