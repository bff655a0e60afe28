"""How much of what a server has written its receiver lacks, by what was seen of both now and then. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FRESH_SECONDS = 6.0
"""How old what was seen may be."""


@dataclass(slots=True)
class Lateness:
    """``bytes``: at the last look. Times are of one clock that never goes back."""

    bytes: int = 0
    _looked_at: float | None = None
    _oldest: tuple[int, float] | None = None

    def see(self, flushed: int, received: int, now: float) -> None:
        """``flushed``: until where (LSN) the server has everything; ``received``: and its receiver."""
        self._looked_at = now
        self.bytes = max(0, flushed - received)
        if self._oldest is not None and received >= self._oldest[0]:
            self._oldest = None
        if self._oldest is None and self.bytes:
            self._oldest = flushed, now

    def seconds(self, now: float) -> float:
        """For how long what was seen first has been on its way: a server that is always writing is not late for that.
        At least: nobody looked before."""
        return 0.0 if self._oldest is None else now - self._oldest[1]

    def is_fresh(self, now: float) -> bool:
        return self._looked_at is not None and now - self._looked_at <= FRESH_SECONDS
