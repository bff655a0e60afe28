"""Changes to what lies in an archive, or in a stopped server's files, as a failing disk makes them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import zstandard

from engine.archived import timeline
from engine.local import Asked, Rig

PAGE = 8192


def archive_of(rig: Rig, asked: Asked) -> Path:
    return rig.layout.state / "archive" / timeline(asked).ubid


def newest_base(rig: Rig, asked: Asked) -> Path:
    return max((archive_of(rig, asked) / "base").iterdir())


def flip(path: Path, at: int) -> None:
    """One bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def change_in_base(rig: Rig, asked: Asked, file: str, change: Callable[[bytearray], None]) -> None:
    """Change a file of the newest base backup as if it had been so when it was taken: its SHA-256 is right."""
    base = newest_base(rig, asked)
    stored, facts = base / "base.tar.zst", base / "backup.json"
    whole = bytearray(zstandard.ZstdDecompressor().stream_reader(stored.read_bytes(), read_across_frames=True).read())
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        member = tar.getmember(file)
    begin = member.offset_data
    content = whole[begin : begin + member.size]
    change(content)
    whole[begin : begin + member.size] = content
    stored.write_bytes(zstandard.ZstdCompressor(level=1).compress(bytes(whole)))
    said = json.loads(facts.read_text())
    said["files"]["base.tar.zst"] = hashlib.sha256(stored.read_bytes()).hexdigest()
    facts.write_text(json.dumps(said))


def swap_items(page: int) -> Callable[[bytearray], None]:
    """Exchange the first two items of a page that stand behind its high key: as bad memory would, before its checksum
    was made. They are line pointers 2 and 3 of the page (Postgres' bufpage.h)."""

    def change(content: bytearray) -> None:
        begin = page * PAGE + 24 + 4
        first, second = content[begin : begin + 4], content[begin + 4 : begin + 8]
        content[begin : begin + 4], content[begin + 4 : begin + 8] = second, first

    return change
