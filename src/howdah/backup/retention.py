"""What of a timeline is needed no more. Pure: from what an archive has to what may be deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from howdah.backup.restorable import Contents, is_usable
from howdah.backup.wal import SEGMENT_BYTES, Segment, lsn
from howdah.domain.backups import BaseBackup


@dataclass(frozen=True, slots=True)
class Expendable:
    """In the order in which to delete: at every moment between, all that is left can be restored. bases: names."""

    bases: tuple[str, ...] = ()
    wal: tuple[Segment, ...] = ()


def expendable(contents: Contents, keep_from: datetime) -> Expendable:
    """What no moment from ``keep_from`` on needs: such a moment is restored from the newest usable base backup that was
    finished by then, so the last one finished by ``keep_from`` stays, with what it builds on and everything since.

    Nothing while there is no such base backup: then the first one is what makes the most restorable.
    """
    usable = [base for base in contents.bases if base.finished_at <= keep_from and is_usable(contents, base)]
    if not usable:
        return Expendable()
    oldest = usable[-1]
    used = [base for base in contents.bases if base.finished_at >= oldest.finished_at]
    kept = {name for base in used for name in _chain_names(contents.bases, base)}
    first = min(lsn(base.start_lsn) for base in used) // SEGMENT_BYTES
    # The newest first: what builds on another one goes before that.
    bases = tuple(base.name for base in reversed(contents.bases) if base.name not in kept)
    return Expendable(bases, tuple(one.segment for one in contents.wal if one.segment.number < first))


def _chain_names(bases: Sequence[BaseBackup], base: BaseBackup) -> list[str]:
    """Also those of a chain that is broken: what is there of it may be all that somebody has."""
    by_name = {one.name: one for one in bases}
    names = [base.name]
    while (parent := base.parent) is not None and parent in by_name:
        base = by_name[parent]
        names.append(parent)
    return names
