"""A block of lines in a hosts file, between marks that say whose it is. Other lines are left as they are."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

_BEGIN = "# BEGIN howdah "
_END = "# END howdah "
_AS_IT_IS = "surrogateescape"
"""Comments of others may be in any encoding."""


def without_block(lines: list[str], owner: str) -> list[str]:
    """``lines`` without the block of ``owner``. Of a block without an end only the mark goes: nobody can say which
    lines belong to it."""
    begin, end = _BEGIN + owner, _END + owner
    kept: list[str] = []
    inside = False
    for line in lines:
        if line.strip() in (begin, end):
            inside = line.strip() == begin
        elif not inside:
            kept.append(line)
    return [line for line in lines if line.strip() not in (begin, end)] if inside else kept


def with_block(lines: list[str], owner: str, address: str, names: Iterable[str]) -> list[str]:
    """``lines`` with the block of ``owner`` in place of its earlier one; no names, no block."""
    kept = without_block(lines, owner)
    own = [f"{address} {name}\n" for name in names]
    if not own:
        return kept
    if kept and not kept[-1].endswith("\n"):
        kept[-1] += "\n"
    return [*kept, f"{_BEGIN}{owner}\n", *own, f"{_END}{owner}\n"]


def owners(lines: list[str]) -> list[str]:
    return [line.strip().removeprefix(_BEGIN) for line in lines if line.startswith(_BEGIN)]


class HostsBlock:
    """The block of one state directory. Blocks of state directories that are gone are removed on the way."""

    def __init__(self, file: Path, *, owner: Path) -> None:
        self._file = file
        self._owner = str(owner)

    def replace(self, address: str, names: Iterable[str]) -> None:
        """Raises OSError when the file cannot be written."""
        with self._locked():
            lines = self._lines()
            changed = with_block(lines, self._owner, address, names)
            for owner in owners(changed):
                if owner != self._owner and not Path(owner).exists():
                    changed = without_block(changed, owner)
            if changed != lines:
                self._write("".join(changed))

    def _lines(self) -> list[str]:
        if not self._file.exists():
            return []
        return self._file.read_text(encoding="utf-8", errors=_AS_IT_IS).splitlines(keepends=True)

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Several control planes of one machine take turns."""
        lock = Path("/run" if self._file == Path("/etc/hosts") else self._file.parent) / ".howdah-hosts.lock"
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, content: str) -> None:
        aside = self._file.with_name(f"{self._file.name}.howdah")
        mode = self._file.stat().st_mode & 0o777 if self._file.exists() else 0o644
        try:
            with aside.open("w", encoding="utf-8", errors=_AS_IT_IS) as file:
                os.fchmod(file.fileno(), mode)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._file)
        except OSError:
            # In a container the file is a mount of its own, over which nothing can be renamed.
            aside.unlink(missing_ok=True)
            with self._file.open("r+", encoding="utf-8", errors=_AS_IT_IS) as file:
                file.write(content)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
