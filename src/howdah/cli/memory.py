"""How this process gets its memory from the machine, and gives it back."""

from __future__ import annotations

import ctypes

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8
"""mallopt(3), glibc's malloc.h."""


def give_back_memory() -> None:
    """Before any thread is started. By default glibc keeps an arena per thread, up to eight for each core, and after
    the first large block that is freed it takes the next ones from those too, where they are hardly ever given back:
    packing WAL on many threads then costs hundreds of megabytes for good."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # Other C libraries have none, nor arenas.
        mallopt(_ARENA_MAX, 2)
        mallopt(_MMAP_THRESHOLD, 128 * 1024)
