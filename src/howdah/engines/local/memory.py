"""The memory that a server is set up for, by profile."""

from __future__ import annotations

from howdah.domain.catalog import Size
from howdah.domain.memory import Profile
from howdah.domain.settings import PostgresSettings
from howdah.launcher.memory import machine_memory

SHARED_MEMORY = {
    "shared_buffers": "16MB",
    "maintenance_work_mem": "32MB",
    "min_wal_size": "32MB",
    "max_wal_size": "512MB",
    "huge_pages": "off",
}
_GIB = 1 << 30


def dedicated_memory(size: Size, connections: int) -> dict[str, str]:
    """What Postgres' manual and those who run it advise for a server that has the memory of ``size`` for itself.

    A quarter is for buffers, since the page cache of the rest counts too. What is left is shared out among all
    ``connections``, each of which may sort or hash thrice at a time; and to maintenance, which few do at a time.
    """
    memory = size.memory_gib * 1024
    buffers = memory // 4
    settings = {
        "shared_buffers": buffers,
        "effective_cache_size": memory - buffers,
        "work_mem": max(4, (memory - buffers) // (3 * connections)),
        "maintenance_work_mem": min(2048, memory // 16),
        "min_wal_size": 512,
        "max_wal_size": 4096,
    }
    return {name: f"{value}MB" for name, value in settings.items()} | {"huge_pages": "try"}


def available_gib(settings: PostgresSettings) -> int | None:
    """GiB that all servers may have together; None where none is promised to any."""
    if settings.profile is Profile.SHARED:
        return None
    return settings.memory_gib or machine_memory() * 7 // 8 // _GIB
