"""Secrets of services, and answers that may hold some: each is sealed to its place in the store."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from howdah.domain.errors import SetupError, Unavailable
from howdah.domain.ids import ServiceId
from howdah.security.sealing import KEY_ID, KeyFile, Sealer, open_key_file
from howdah.store import answers, secrets, services
from howdah.store.store import Store


class Kind(StrEnum):
    PASSWORD = services.PASSWORD
    PASSWORD_VERIFIER = "password_verifier"
    CERTIFICATE_KEY = "certificate_key"
    FIRST_ROOT_KEY = "first_root_key"
    SECOND_ROOT_KEY = "second_root_key"
    REPLICATION_PASSWORD = "replication_password"


class Vault:
    """Seals what goes into the store's table of secrets and opens what comes out of it.

    Another process may replace the key file at any time, but does so inside a transaction of the store
    (``control.rotation``). Therefore what is sealed inside a transaction is sealed with the key of that moment.
    """

    def __init__(self, key_file: KeyFile, sealer: Sealer) -> None:
        self._key_file = key_file
        self._sealer = sealer

    def seal(self, service: ServiceId, secrets: Mapping[Kind, str]) -> dict[str, bytes]:
        """Inside the transaction that stores it, only. Raises Unavailable when the key file cannot be read."""
        sealer = self._present()
        return {str(kind): sealer.seal(secret, _place(service, kind)) for kind, secret in secrets.items()}

    def open(self, service: ServiceId, kind: Kind, sealed: bytes) -> str:
        """Raises SetupError when the secret was altered or is another service's."""
        return self._able(sealed).open(sealed, _place(service, kind))

    def seal_answer(self, scope: str, answer: str) -> bytes:
        """As ``seal``."""
        return self._present().seal(answer, _answer_place(scope))

    def open_answer(self, scope: str, sealed: bytes) -> str:
        """As ``open``."""
        return self._able(sealed).open(sealed, _answer_place(scope))

    def _present(self) -> Sealer:
        try:
            if self._key_file.changed():
                self._sealer = self._key_file.read()
        except SetupError as error:
            raise Unavailable(f"secrets cannot be stored: {error}; nothing was changed") from None
        return self._sealer

    def _able(self, sealed: bytes) -> Sealer:
        if sealed[KEY_ID] not in self._sealer.key_ids:
            self._sealer = self._key_file.read()
        return self._sealer


def open_vault(store: Store, path: Path) -> Vault:
    """Raises SetupError when the key file does not open what the store holds."""
    open_key_file(path, sealed_with=secrets.key_ids(store, KEY_ID) | answers.key_ids(store, KEY_ID))
    key_file = KeyFile(path)
    return Vault(key_file, key_file.read())


def _place(service: ServiceId, kind: Kind) -> str:
    return f"secrets.sealed {service.uuid} {kind}"


def _answer_place(scope: str) -> str:
    return f"answers.sealed {scope}"
