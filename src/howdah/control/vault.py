"""Secrets of services: which kinds there are, and that each is sealed to its place in the store."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from howdah.domain.ids import ServiceId
from howdah.security.sealing import KEY_ID, Sealer, open_key_file
from howdah.store import secrets, services
from howdah.store.store import Store


class Kind(StrEnum):
    PASSWORD = services.PASSWORD
    PASSWORD_VERIFIER = "password_verifier"
    CERTIFICATE_KEY = "certificate_key"
    FIRST_ROOT_KEY = "first_root_key"
    SECOND_ROOT_KEY = "second_root_key"


class Vault:
    """Seals what goes into the store's table of secrets and opens what comes out of it."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def seal(self, service: ServiceId, secrets: Mapping[Kind, str]) -> dict[str, bytes]:
        return {str(kind): self._sealer.seal(secret, _place(service, kind)) for kind, secret in secrets.items()}

    def open(self, service: ServiceId, kind: Kind, sealed: bytes) -> str:
        """Raises SetupError when the secret was altered or is another service's."""
        return self._sealer.open(sealed, _place(service, kind))


def open_vault(store: Store, key_file: Path) -> Vault:
    """Raises SetupError when the key file does not open what the store holds."""
    return Vault(open_key_file(key_file, sealed_with=secrets.key_ids(store, KEY_ID)))


def _place(service: ServiceId, kind: Kind) -> str:
    return f"secrets.sealed {service.uuid} {kind}"
