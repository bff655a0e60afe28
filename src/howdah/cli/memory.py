"""How this process gets its memory from the machine, and gives it back."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Generator
from contextlib import contextmanager

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


@contextmanager
def lasting() -> Generator[None]:
    """What is made meanwhile is kept until the end. The collector of garbage is to look at none of it: while modules
    are imported it would look at all of them time and again, a fifth of what a start costs."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def leave_memory() -> None:
    """Before the end: all memory goes with the process, so Python need not look for what it could free in it."""
    gc.freeze()
