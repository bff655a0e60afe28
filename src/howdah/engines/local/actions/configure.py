"""Settings, rules, certificate and key on disk, where only we can write."""

from __future__ import annotations

import asyncio

from howdah.domain.instances import Instance
from howdah.engines.local.configuration import Configuration
from howdah.engines.local.machine import Machine
from howdah.launcher.files import read_own


async def configure(machine: Machine, instance: Instance, configuration: Configuration) -> None:
    await asyncio.to_thread(_write, machine, instance, configuration)


def _write(machine: Machine, instance: Instance, configuration: Configuration) -> None:
    home = machine.layout.of(instance).home
    for name, content in configuration.files.items():
        if read_own(home / name) != content:
            machine.launcher.write_file(home / name, content, reader=instance.uid)
