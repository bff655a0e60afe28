"""Thousands of stored services in a moment: copies of one, each with an id, a hostname and secrets of its own."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select

from howdah.control.paths import secrets_key_file
from howdah.control.plane import ControlPlane
from howdah.control.vault import Kind, open_vault
from howdah.domain.ids import ServiceId, TimelineId
from howdah.store import secrets as stored_secrets
from howdah.store.tables import hostnames, secrets, services

Row = dict[str, Any]


async def multiply(plane: ControlPlane, original: ServiceId, organization: UUID, count: int) -> list[ServiceId]:
    """Copies of a service, for an organization."""
    vault = open_vault(plane.store, secrets_key_file(plane.settings.state))
    sealed = stored_secrets.of(plane.store, original)
    opened = {Kind(kind): vault.open(original, Kind(kind), content) for kind, content in sealed.items()}
    copies = [ServiceId.new() for _ in range(count)]

    def write(connection: Connection) -> None:
        row = dict(connection.execute(select(services).where(services.c.id == str(original.uuid))).mappings().one())
        del row["number"]
        connection.execute(insert(services), [row | _own(copy, organization) for copy in copies])
        connection.execute(insert(hostnames), [_hostname(copy) for copy in copies])
        kept = [(copy, vault.seal(copy, opened)) for copy in copies]
        connection.execute(insert(secrets), [one for copy, each in kept for one in _sealed(copy, each)])

    await plane.store.write(write)
    return copies


def _own(copy: ServiceId, organization: UUID) -> Row:
    return {"id": str(copy.uuid), "organization": str(organization), "timeline": str(TimelineId.new().uuid)}


def _hostname(copy: ServiceId) -> Row:
    name = f"copy-00000000.{copy.ubid}.c0.us-west-2.aws.pg.localhost"
    return {"service": str(copy.uuid), "hostname": name, "expires_at": None}


def _sealed(copy: ServiceId, sealed: dict[str, bytes]) -> list[Row]:
    return [{"service": str(copy.uuid), "kind": kind, "sealed": content} for kind, content in sealed.items()]
