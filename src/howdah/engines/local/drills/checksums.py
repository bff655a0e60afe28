"""The checksum of every page of a data directory whose server was shut down."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress

from howdah.backup.errors import BackupError
from howdah.backup.programs import Programs
from howdah.engines.local.drills.server import Place, control_data

LIMIT = 100
"""Problems that are kept."""

_FAILED = re.compile(r'checksum verification failed in file "([^"]+)", block (\d+)')
_FAULT = re.compile(r"pg_checksums: error: (.*)")
_SEGMENT = re.compile(r"\.(\d+)$")
_FORK = re.compile(r"_(fsm|vm|init)$")
_BLOCKS_PER_SEGMENT = 131_072


async def check(place: Place, programs: Programs, files: Mapping[str, str]) -> tuple[bool, list[str]]:
    """Whether they were checked, and each page that is damaged. ``files``: what each file is, as far as that is known.

    Raises BackupError when they could not be checked.
    """
    facts = await asyncio.to_thread(control_data, place, programs)
    if facts.get("Data page checksum version", "0") == "0":
        return False, []
    child = await asyncio.create_subprocess_exec(
        *("nice", "-n", "10"),
        *programs.command("pg_checksums", "--check", "--pgdata", place.data, read=[place.data]),
        env={"PATH": "/usr/bin:/bin", **programs.environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd="/",
    )
    problems: list[str] = []
    said, number = "", 0
    try:
        assert child.stderr is not None
        async for line in child.stderr:
            said = line.decode(errors="replace").strip()
            if (problem := _problem(place, said, files)) is not None:
                number += 1
                problems += [problem] if number <= LIMIT else []
        await child.wait()
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    if number > LIMIT:
        problems.append(f"{number - LIMIT} more pages")
    if child.returncode != 0 and not problems:
        raise BackupError(f"pg_checksums failed: {said[-300:] or f'exit status {child.returncode}'}")
    return True, problems


def _problem(place: Place, said: str, files: Mapping[str, str]) -> str | None:
    if (failed := _FAILED.search(said)) is not None:
        return _in_words(failed[1].removeprefix(f"{place.data}/"), int(failed[2]), files)
    fault = _FAULT.match(said)
    return None if fault is None else fault[1].replace(f"{place.data}/", "")[:300]


def _in_words(path: str, block: int, files: Mapping[str, str]) -> str:
    """``block``: of the file, which is one of several of a large relation."""
    segment = _SEGMENT.search(path)
    main = _SEGMENT.sub("", path)
    fork = _FORK.search(main)
    number = block + _BLOCKS_PER_SEGMENT * int(segment[1]) if segment else block
    what = files.get(_FORK.sub("", main))
    named = "" if what is None else f", which belongs to {what}"
    named += f" ({fork[1]})" if fork else ""
    return f"the checksum of block {number} is wrong in the file {path}{named}"
