"""Another key for the secrets in the store, while a control plane may be at work.

The key file changes inside transactions of the store, and secrets are sealed inside the transaction that stores them
(``control.vault``). So nothing is sealed with a key that the file has lost. Killed anywhere, the file has every key
that is needed, and the next rotation finishes.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from howdah.control.vault import Kind, Vault
from howdah.security.sealing import KEY_ID, KeyFile
from howdah.store import answers, secrets
from howdah.store.store import Store

BATCH = 500
"""Secrets that are sealed again in one transaction: others wait for it, a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """``key_id``: of the new key, in hexadecimal. ``secrets``: how many were sealed again."""

    key_id: str
    secrets: int


async def rotate(store: Store, key_file: KeyFile) -> Rotated:
    """A new key seals everything, and the key file has no other. Raises SetupError, Unavailable."""
    await store.write(lambda _: key_file.add())
    vault = Vault(key_file, key_file.read())
    count = 0
    while done := await store.write(lambda connection: _seal_again(connection, vault, key_file)):
        count += done
    sealing = await store.write(lambda connection: _forget_others(connection, key_file))
    await store.forget()
    return Rotated(sealing.hex(), count)


def _seal_again(connection: Connection, vault: Vault, key_file: KeyFile) -> int:
    sealing = key_file.read().sealing
    found = secrets.sealed_otherwise(connection, KEY_ID, sealing, BATCH)
    for service, name, sealed in found:
        kind = Kind(name)
        secrets.put(connection, service, vault.seal(service, {kind: vault.open(service, kind, sealed)}))
    kept = answers.sealed_otherwise(connection, KEY_ID, sealing, BATCH - len(found))
    for scope, sealed in kept:
        answers.reseal(connection, scope, vault.seal_answer(scope, vault.open_answer(scope, sealed)))
    return len(found) + len(kept)


def _forget_others(connection: Connection, key_file: KeyFile) -> bytes:
    """Unless they are needed again, because another rotation has begun."""
    sealing = key_file.read().sealing
    others = (table.sealed_otherwise(connection, KEY_ID, sealing, 1) for table in (secrets, answers))
    if not any(others):
        key_file.keep_first()
    return sealing
