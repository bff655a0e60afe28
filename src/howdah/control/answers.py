"""Answers that are kept for a day, so that a request that is sent again is answered again and not done again.

Each is stored by the transaction that does what was asked for: killed at any instruction, both are there or neither.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from howdah.control.clock import Clock
from howdah.control.vault import Vault
from howdah.domain.errors import Conflict
from howdah.store import answers
from howdah.store.store import Store

KEPT = timedelta(hours=24)
BATCH = 1000
"""Old answers that are deleted in one transaction."""


class Answers:
    def __init__(self, store: Store, vault: Vault, clock: Clock) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock

    def find(self, scope: str) -> str | None:
        """What was kept under that scope. Raises Unavailable."""
        sealed = answers.find(self._store, scope, self._clock() - KEPT)
        return None if sealed is None else self._vault.open_answer(scope, sealed)

    def keep(self, connection: Connection, scope: str, answer: str) -> None:
        """Inside the transaction whose answer it is. Raises Conflict, which undoes it, when there is one already."""
        now = self._clock()
        if answers.exists(connection, scope, now - KEPT):
            raise Conflict("a request with this Idempotency-Key was done just now; send it again for its answer")
        answers.put(connection, scope, now, self._vault.seal_answer(scope, answer))

    async def forget_old(self) -> None:
        """Deletes those whose time is over. Raises Unavailable."""
        until = self._clock() - KEPT
        while await self._store.write(lambda connection: answers.forget(connection, until, BATCH)) == BATCH:
            pass
