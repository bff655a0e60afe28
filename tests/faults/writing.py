"""``python writing.py STORE``: writes into a store for ever, and prints the number of each write once it is done.

Each write is an organization and a key of the same number, so that half a write would show.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection

from howdah.control.clock import utc_now
from howdah.domain.organizations import ApiKey, KeyState, Organization, Role
from howdah.store import keys, organizations
from howdah.store.store import Store


async def write(store: Store, number: int) -> None:
    organization = Organization(UUID(int=number), str(number), utc_now())
    key = ApiKey(
        id=UUID(int=number),
        organization=organization.id,
        key_id=f"{number:020}",
        name=str(number),
        roles=(Role.ADMIN,),
        state=KeyState.ENABLED,
        suffix="0000",
        created_at=utc_now(),
        expire_at=None,
        used_at=None,
        api_version=None,
    )

    def change(connection: Connection) -> None:
        organizations.add(connection, organization)
        keys.add(connection, key, b"hash")

    await store.write(change)


async def main(path: Path) -> None:
    with Store(path) as store:
        for number in count():
            await write(store, number)
            print(number, flush=True)
            if number % 50 == 49:
                await store.forget()


if __name__ == "__main__":
    sys.path.pop(0)
    asyncio.run(main(Path(sys.argv[1])))
