from __future__ import annotations

from contextlib import nullcontext

import pytest

from howdah.domain.catalog import Size
from howdah.domain.errors import Conflict
from howdah.domain.memory import Memory, check_memory

SIZE = Size("xlarge", "aws", vcpus=4, memory_gib=8, storage_gib=237, arch="arm64")


@pytest.mark.parametrize(
    ("memory", "servers", "now_gib", "fits"),
    [
        (Memory(8, 0), 1, 0, True),
        (Memory(7, 0), 1, 0, False),
        (Memory(24, 16), 1, 0, True),
        (Memory(24, 16), 2, 0, False),
        (Memory(24, 17), 1, 0, False),
        (Memory(24, 16), 2, 8, True),
        (Memory(24, 16), 3, 8, False),
    ],
)
def test_servers_fit_into_what_is_free_and_what_they_have(
    memory: Memory, servers: int, now_gib: int, fits: bool
) -> None:
    with nullcontext() if fits else pytest.raises(Conflict):
        check_memory(memory, SIZE, servers=servers, now_gib=now_gib)


def test_a_refusal_says_what_is_asked_for_and_what_is_free() -> None:
    with pytest.raises(Conflict) as refused:
        check_memory(Memory(20, 12, deleting_gib=4), SIZE, servers=3)
    assert str(refused.value) == (
        "size xlarge takes 24 GiB of memory, 8 for each of 3 servers: of the 20 GiB that servers may have on this"
        " machine 8 are free (4 more when the services that are being deleted are gone); ask for a smaller size or"
        " fewer standbys, or delete a service"
    )


def test_what_takes_no_more_than_it_has_is_never_refused() -> None:
    check_memory(Memory(10, 100), SIZE, servers=2, now_gib=16)
