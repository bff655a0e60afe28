"""Settings, rules, certificate and key on disk, where only we can write."""

from __future__ import annotations

import asyncio

from howdah.domain.instances import Instance
from howdah.engines.local.configuration import Configuration
from howdah.engines.local.machine import Machine


async def configure(machine: Machine, instance: Instance, configuration: Configuration) -> None:
    await asyncio.to_thread(machine.launcher.configure, instance, configuration.files)
