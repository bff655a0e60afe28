"""One archive and its timelines: what lies where, put durably and fetched with proof that nothing has changed.

howdah.json                           by which a directory is known, so that no other one is taken for it
<timeline>/timeline.json              what it belongs to
<timeline>/wal/<segment>.zst          WAL; <segment>.partial.zst: a segment that is still growing; <n>.history.zst
<timeline>/base/<name>/               base.tar.zst, <oid>.tar.zst, backup_manifest.zst; backup.json makes it count
<timeline>/gaps/<since>.json          WAL that was lost
<timeline>/drills/<started>.json      what a drill found
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from howdah.backup import drilled
from howdah.backup.errors import DamageError
from howdah.backup.objects import Objects, open_objects
from howdah.backup.packing import Packing, pack, unpack
from howdah.backup.retention import Expendable
from howdah.backup.wal import HISTORY, PARTIAL, SEGMENT_BYTES, Segment, StoredWal
from howdah.domain.backups import BackupKind, BaseBackup, Gap, backup_name, is_backup_name
from howdah.domain.drills import DrillResult
from howdah.domain.ids import TimelineId
from howdah.domain.settings import BackupSettings

_ZST = ".zst"
FACTS = "backup.json"
MARK = "howdah.json"
_MOMENT = len("20261125T093000.000000Z")
_AT_ONCE = 500
"""Objects that are deleted by one request: stores take up to 1,000."""


def open_archive(settings: BackupSettings, state: Path) -> Archive:
    """The archive of a state directory, as its settings say. Raises SetupError."""
    return Archive(open_objects(settings, state / "archive"))


class Archive:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    @property
    def remote(self) -> bool:
        """Whether it is a store elsewhere, not a directory."""
        return self._objects.directory is None

    @property
    def name(self) -> str:
        return self._objects.name

    def claim(self, known: Path) -> None:
        """From now on nothing is read or written where the archive's directory is another one than it was: an empty one
        would be filled, and all that was archived before seem never to have been there.

        ``known``: our own note of where it was. Raises StoreError, OSError.
        """
        directory = self._objects.directory
        if directory is None:
            return
        mark = directory / MARK
        was = known.read_text() if known.exists() else None
        if was != str(directory):
            if not mark.exists():
                self._objects.put(MARK, b'{"what": "an archive of Howdah"}\n')
            _write_whole(known, str(directory).encode())
        self._objects.mark = mark

    def timeline(self, id: TimelineId) -> TimelineArchive:
        return TimelineArchive(self._objects, id)

    def timelines(self) -> list[TimelineId]:
        found: list[TimelineId] = []
        for name in self._objects.prefixes(""):
            with contextlib.suppress(ValueError):
                found.append(TimelineId.parse(name))
        return found


class TimelineArchive:
    """Calls block. Raises StoreError when the archive is out of reach, DamageError for what has changed in it."""

    def __init__(self, objects: Objects, id: TimelineId) -> None:
        self.id = id
        self._objects = objects
        self._root = id.ubid

    def describe(self, facts: dict[str, Any]) -> None:
        """Say whose it is, for who has nothing but the archive."""
        self._objects.put(f"{self._root}/timeline.json", json.dumps(facts, indent=1).encode())

    def facts(self) -> dict[str, Any] | None:
        found = self._objects.get(f"{self._root}/timeline.json")
        return None if found is None else json.loads(found)

    def put_wal(self, name: str, path: Path, packing: Packing | None = None) -> None:
        """A whole segment or a history. ``packing``: that of a segment which was put before it was whole."""
        packing, modified = packing or Packing(), path.stat().st_mtime
        packing.complete(path)
        self._objects.put(f"{self._root}/wal/{name}{_ZST}", packing.content, modified=modified)
        with contextlib.suppress(FileNotFoundError):
            self._objects.delete([f"{self._root}/wal/{name}{PARTIAL}{_ZST}"])

    def put_partial(self, name: str, path: Path, packing: Packing) -> bool:
        """A segment that is still being received, as far as it has come; False when nothing has."""
        modified = path.stat().st_mtime
        packing.grow(path)
        if len(packing.content) > packing.stored:
            self._objects.put(f"{self._root}/wal/{name}{PARTIAL}{_ZST}", packing.content, modified=modified)
            packing.stored = len(packing.content)
        return packing.stored > 0

    def wal(self) -> list[StoredWal]:
        """Every segment, in order; a partial one only where the whole one is not."""
        found: dict[Segment, StoredWal] = {}
        for one in self._objects.list(f"{self._root}/wal/"):
            name = one.key.rsplit("/", 1)[-1].removesuffix(_ZST)
            segment = Segment.parse(name.removesuffix(PARTIAL))
            if segment is None:
                continue
            partial = name.endswith(PARTIAL)
            if not partial or segment not in found:
                found[segment] = StoredWal(segment, partial, one.size, one.modified)
        return [found[segment] for segment in sorted(found)]

    def histories(self) -> dict[int, str]:
        """Postgres' history files by the timeline that each belongs to."""
        found: dict[int, str] = {}
        for one in self._objects.list(f"{self._root}/wal/"):
            name = one.key.rsplit("/", 1)[-1].removesuffix(_ZST)
            if HISTORY.fullmatch(name) and (content := self._objects.get(one.key)) is not None:
                found[int(name[:8], 16)] = unpack(content, one.key).decode(errors="replace")
        return found

    def fetch_wal(self, name: str, into: Path) -> bool:
        """A segment (a partial one padded with zeros) or a history, whole or not at all; False when there is none."""
        for key in (f"{self._root}/wal/{name}{_ZST}", f"{self._root}/wal/{name}{PARTIAL}{_ZST}"):
            if (stored := self._objects.get(key)) is None:
                continue
            content = unpack(stored, key, SEGMENT_BYTES)
            if Segment.parse(name) is not None:
                content = content.ljust(SEGMENT_BYTES, b"\0")
            _write_whole(into, content)
            return True
        return False

    def put_base(self, backup: BaseBackup, files: Path) -> BaseBackup:
        """The files of a directory, then the facts that make them count; returns them, completed."""
        place, digests, size = f"{self._root}/base/{backup.name}", dict[str, str](), 0
        for path in sorted(files.iterdir()):
            name, content = path.name, path
            if path.name == "backup_manifest":
                name, content = path.name + _ZST, pack(path.read_bytes())
            digests[name] = _digest(content)
            size += len(content) if isinstance(content, bytes) else content.stat().st_size
            self._objects.put(f"{place}/{name}", content)
        stored = replace(backup, files=digests, stored_bytes=size)
        self._objects.put(f"{place}/{FACTS}", encode(stored))
        return stored

    def bases(self) -> list[BaseBackup]:
        """Those that count, oldest first; without those whose facts are damaged. Raises DamageError when all are."""
        found: list[BaseBackup] = []
        damage: list[DamageError] = []
        for one in self._objects.list(f"{self._root}/base/"):
            if one.key.endswith(f"/{FACTS}") and (content := self._objects.get(one.key)) is not None:
                try:
                    found.append(decode(content, one.key))
                except DamageError as error:
                    damage.append(error)
        if damage and not found:
            raise damage[0]
        return sorted(found, key=lambda base: base.finished_at)

    def forget(self, old: Expendable) -> None:
        """Delete it. Safe to be killed anywhere, and to be done by two at a time."""
        for name in old.bases:
            self._objects.delete([f"{self._root}/base/{name}/{FACTS}"])
        names = [segment.name for segment in old.wal]
        keys = [f"{self._root}/wal/{name}{end}" for name in names for end in (_ZST, PARTIAL + _ZST)]
        for begin in range(0, len(keys), _AT_ONCE):
            self._objects.delete(keys[begin : begin + _AT_ONCE])
        for name in old.bases:
            self._objects.remove_below(f"{self._root}/base/{name}/")

    def forget_unfinished(self, since: datetime | None = None) -> None:
        """Delete what is there of base backups that were never completed, which began before one that was. ``since``:
        from when on one may be on its way here."""
        keys = [one.key.split("/")[-2:] for one in self._objects.list(f"{self._root}/base/")]
        finished = {name for name, file in keys if file == FACTS}
        for name in {name for name, _ in keys} - finished:
            on_its_way = since is not None and name >= backup_name(since, BackupKind.FULL)[:_MOMENT]
            if is_backup_name(name) and name < max(finished, default="") and not on_its_way:
                self._objects.remove_below(f"{self._root}/base/{name}/")

    def fetch_base(self, backup: BaseBackup, name: str, into: Path) -> None:
        """One stored file of a base backup. Raises DamageError when it is missing or has changed."""
        key = f"{self._root}/base/{backup.name}/{name}"
        found = self._objects.fetch(key, into)
        if found != backup.files[name]:
            into.unlink(missing_ok=True)
            what = "is missing" if found is None else "is damaged (its SHA-256 is not that of what was stored)"
            raise DamageError(f"{key} {what} in the archive")

    def manifest(self, backup: BaseBackup, into: Path) -> None:
        """Postgres' own manifest of a base backup, on which an incremental one builds."""
        stored = into.with_name(into.name + _ZST)
        self.fetch_base(backup, "backup_manifest" + _ZST, stored)
        _write_whole(into, unpack(stored.read_bytes(), str(stored)))
        stored.unlink()

    def gaps(self) -> list[Gap]:
        """Oldest first."""
        keys = [one.key for one in self._objects.list(f"{self._root}/gaps/")]
        found = [_decode_gap(content, key) for key in keys if (content := self._objects.get(key)) is not None]
        return sorted(found, key=lambda gap: gap.since)

    def note_gap(self, gap: Gap) -> None:
        """New, or the same one again with its end."""
        raw = asdict(gap) | {"since": _text(gap.since), "until": None if gap.until is None else _text(gap.until)}
        self._objects.put(f"{self._root}/gaps/{gap.since:%Y%m%dT%H%M%S.%fZ}.json", json.dumps(raw).encode())

    def drills(self) -> list[DrillResult]:
        """Newest first; without those that are damaged."""
        found: list[DrillResult] = []
        for one in self._objects.list(f"{self._root}/drills/"):
            if (content := self._objects.get(one.key)) is not None:
                with contextlib.suppress(DamageError):
                    found.append(drilled.decode(content, one.key))
        return sorted(found, key=lambda result: result.started_at, reverse=True)

    def newest_drill(self, until: datetime) -> DrillResult | None:
        """Of those that had begun by then and are not damaged."""
        names = (one.key.rsplit("/", 1)[-1] for one in self._objects.list(f"{self._root}/drills/"))
        times = [(moment, name) for name in names if (moment := drilled.moment(name)) is not None and moment <= until]
        for _, name in sorted(times, reverse=True):
            key = f"{self._root}/drills/{name}"
            with contextlib.suppress(DamageError):
                if (content := self._objects.get(key)) is not None:
                    return drilled.decode(content, key)
        return None

    def put_drill(self, result: DrillResult) -> None:
        """One more; the oldest ones beyond KEPT go."""
        self._objects.put(f"{self._root}/drills/{drilled.file_name(result)}", drilled.encode(result))
        keys = sorted(one.key for one in self._objects.list(f"{self._root}/drills/"))
        self._objects.delete(keys[: -drilled.KEPT])

    def tidy(self) -> None:
        """Remove what a killed process left half written."""
        self._objects.remove_halves(f"{self._root}/")

    def remove(self) -> None:
        """Everything of it. What makes backups count goes first, so that no half of one is taken for whole."""
        facts = [one.key for one in self._objects.list(f"{self._root}/base/") if one.key.endswith(f"/{FACTS}")]
        self._objects.delete(facts)
        self._objects.remove_below(f"{self._root}/")


def encode(backup: BaseBackup) -> bytes:
    raw = asdict(backup)
    raw |= {"started_at": _text(backup.started_at), "finished_at": _text(backup.finished_at)}
    return json.dumps(raw, indent=1).encode()


def decode(content: bytes, key: str) -> BaseBackup:
    """Raises DamageError when ``content`` is not what ``encode`` gives."""
    try:
        raw: dict[str, Any] = json.loads(content)
        raw |= {name: _time(raw[name]) for name in ("started_at", "finished_at")}
        raw["kind"] = BackupKind(raw["kind"])
        return BaseBackup(**raw)
    except (ValueError, KeyError, TypeError) as error:
        raise DamageError(f"{key} is damaged: {error}") from None


def _decode_gap(content: bytes, key: str) -> Gap:
    try:
        raw: dict[str, Any] = json.loads(content)
        until = raw["until"]
        return Gap(_time(raw["since"]), None if until is None else _time(until), str(raw["reason"]))
    except (ValueError, LookupError, TypeError) as error:
        raise DamageError(f"{key} is damaged: {error!r}") from None


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _digest(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_whole(path: Path, content: bytes) -> None:
    made = path.with_name(f".{path.name}.new")
    made.write_bytes(content)
    os.rename(made, path)
