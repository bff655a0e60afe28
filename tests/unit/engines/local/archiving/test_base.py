"""What is said of a base backup that fails."""

from __future__ import annotations

import sys
import tracemalloc

import pytest

from howdah.backup.errors import BackupError
from howdah.engines.local.archiving.base import complaint, run_child

ERROR = "pg_basebackup: error: checksum error occurred"


def warning(block: int, file: str = "./base/5/16384") -> str:
    found = f'checksum verification failed in file "{file}", block {block}'
    return f"WARNING:  {found}: calculated 7D5B but expected AE28\n"


def test_damaged_pages_are_named() -> None:
    total = 'WARNING:  file "./base/5/16384" has a total of 2 checksum verification failures\n'
    assert complaint(f"{warning(3)}{warning(7)}{total}{ERROR}\n".encode()) == (
        'checksum verification failed in file "./base/5/16384", block 3; checksum verification failed in file'
        f' "./base/5/16384", block 7 ({ERROR})'
    )


def test_of_many_the_first_are_named() -> None:
    said = complaint("".join([*map(warning, range(100)), ERROR]).encode())
    assert said.count("checksum verification failed") == 5
    assert said.endswith(f"block 4 and 95 more ({ERROR})")


@pytest.mark.parametrize("said", ["", "pg_basebackup: error: could not connect", "WARNING:  skipping special file"])
def test_else_its_last_words_are_told(said: str) -> None:
    assert complaint(f"{said}\n".encode()) == said
    assert complaint(f"{'a' * 9999}{said}".encode()).endswith(said)
    assert len(complaint(f"{'a' * 9999}{said}".encode())) == 500


async def test_of_a_program_that_says_very_much_the_first_and_the_last_are_kept() -> None:
    code = f"import sys; sys.stderr.write({warning(3)!r} + 'a line\\n' * 8_000_000 + 'the end'); sys.exit(1)"
    tracemalloc.start()
    try:
        with pytest.raises(BackupError, match=r"^it failed: checksum verification.*, block 3 \(the end\)$"):
            await run_child("it", [sys.executable, "-c", code], {})
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
