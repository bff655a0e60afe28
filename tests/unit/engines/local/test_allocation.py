from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from howdah.domain.errors import Conflict, SetupError, Unavailable
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance
from howdah.engines.local.allocation import Allocation, number_range
from howdah.launcher.layout import Layout


class Memory:
    def __init__(self) -> None:
        self.rows: dict[InstanceId, Instance] = {}

    def of(self, service: ServiceId) -> tuple[Instance, ...]:
        return tuple(row for row in self.rows.values() if row.service == service)

    def all(self) -> tuple[Instance, ...]:
        return tuple(self.rows.values())

    async def put(self, instance: Instance) -> None:
        await asyncio.sleep(0)
        if any(row.port == instance.port for row in self.rows.values() if row.id != instance.id):
            raise Conflict("port is taken")
        self.rows[instance.id] = instance

    async def remove(self, instance: InstanceId) -> None:
        del self.rows[instance]


def free_range(length: int) -> range:
    """Ports outside the ephemeral range that nobody listens on now."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 16
    for start in range(15000 + 250 * worker, 15250 + 250 * worker, length):
        try:
            for port in range(start, start + length):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return range(start, start + length)
    raise AssertionError("no free ports")


def allocation(registry: Memory, top: Path, ports: range, uids: range | None = None) -> Allocation:
    return Allocation(registry, Layout(top, top, top, top), ports=ports, uids=uids)


async def test_no_port_and_no_uid_is_given_twice(tmp_path: Path) -> None:
    registry = Memory()
    chooser = allocation(registry, tmp_path, free_range(8), range(270000, 270008))
    made = await asyncio.gather(*(chooser.new(ServiceId.new()) for _ in range(8)))
    assert len({instance.port for instance in made}) == 8
    assert len({instance.uid for instance in made}) == 8
    with pytest.raises(Unavailable, match="port"):
        await chooser.new(ServiceId.new())


async def test_a_port_that_somebody_listens_on_is_passed_over(tmp_path: Path) -> None:
    ports = free_range(2)
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports[0]))
        other.listen()
        instance = await allocation(Memory(), tmp_path, ports).new(ServiceId.new())
    assert instance.port == ports[1]
    assert instance.uid is None


async def test_a_moved_instance_keeps_everything_but_its_port(tmp_path: Path) -> None:
    registry = Memory()
    chooser = allocation(registry, tmp_path, free_range(2))
    instance = await chooser.new(ServiceId.new())
    moved = await chooser.move(instance)
    assert (moved.id, moved.service, moved.uid) == (instance.id, instance.service, instance.uid)
    assert moved.port != instance.port
    assert registry.all() == (moved,)


@pytest.mark.parametrize("text", ["", "20000", "5-4", "a-b", "-1-5", "0-5", "1-2-3"])
def test_a_wrong_range_is_a_set_up_error_naming_its_key(text: str) -> None:
    with pytest.raises(SetupError, match=r"postgres\.ports"):
        number_range(text, "postgres.ports")
