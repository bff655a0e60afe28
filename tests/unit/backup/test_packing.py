"""A segment is packed as it grows: each byte once, and what comes out is what was received."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from howdah.backup.errors import DamageError
from howdah.backup.packing import Packing, pack, unpack
from howdah.backup.wal import SEGMENT_BYTES

SIZE = 3 * 1024 * 1024 + 512
"""Of a small segment: more than one block is read at a time."""

PAGE = 8192

parts = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=200),
        st.integers(1, 600_000).map(bytes),  # WAL may have long runs of zeros
        st.integers(1, 600_000).map(lambda size: b"x" * size),
    ),
    max_size=5,
)


def as_wal(content: bytes) -> bytes:
    """In pages that begin as those of WAL do: only there a zero says that nothing has come yet."""
    return b"".join(b"\x18\xd1" + content[at : at + PAGE - 2] for at in range(0, len(content), PAGE - 2))


def receive(path: Path, content: bytes) -> None:
    """As pg_receivewal: into the file that is there, which zeros have filled up."""
    mode = "r+b" if path.exists() else "w+b"
    with path.open(mode) as file:
        file.write(content.ljust(SIZE, b"\0"))


@given(parts)
def test_what_comes_out_is_what_was_received(came: list[bytes]):
    with TemporaryDirectory() as scratch:
        path, packing, received = Path(scratch) / "segment", Packing(), b""
        content = b""
        for part in [b"", *came]:
            content += part
            received = as_wal(content)
            receive(path, received)
            packing.grow(path)
            assert unpack(packing.content, "key", SIZE) == received.rstrip(b"\0")
        packing.complete(path)
        assert unpack(packing.content, "key", SIZE) == received.ljust(SIZE, b"\0")


def test_each_byte_is_packed_once(tmp_path: Path):
    packing, received, noise = Packing(), b"", os.urandom(300_000)
    for at in range(0, len(noise), 100_000):
        received = as_wal(noise[: at + 100_000])
        receive(tmp_path / "segment", received)
        packing.grow(tmp_path / "segment")
        packing.grow(tmp_path / "segment")
    packing.complete(tmp_path / "segment")
    assert len(packing.content) < len(noise) + 1000
    assert unpack(packing.content, "key").rstrip(b"\0") == as_wal(noise).rstrip(b"\0")


def test_another_file_of_that_name_is_packed_anew(tmp_path: Path):
    packing = Packing()
    receive(tmp_path / "segment", b"of the last receiver, which was longer")
    packing.grow(tmp_path / "segment")
    other = tmp_path / "other"
    receive(other, b"of this one")
    other.rename(tmp_path / "segment")
    packing.grow(tmp_path / "segment")
    assert unpack(packing.content, "key") == b"of this one"


def test_what_is_not_what_grew_is_packed_anew(tmp_path: Path):
    packing = Packing()
    receive(tmp_path / "segment", b"one")
    packing.grow(tmp_path / "segment")
    receive(tmp_path / "segment", b"two, and more")
    packing.complete(tmp_path / "segment")
    assert unpack(packing.content, "key").rstrip(b"\0") == b"two, and more"


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (pack(b"one" * 100)[:-1], "ends too early"),
        (pack(b"one") + pack(b"two")[:-3], "ends too early"),
        (pack(b"one") + b"rubbish, and more of it", "damaged"),
        (pack(bytes(SIZE)) + pack(b"x"), "more than"),
        (bytes([pack(b"one")[0] ^ 1]) + pack(b"one")[1:], "damaged"),
    ],
)
def test_damage_is_found(packed: bytes, words: str):
    with pytest.raises(DamageError, match=words):
        unpack(packed, "key", SIZE)


def test_a_frame_of_unknown_size_is_damage():
    packed = zstandard.ZstdCompressor(write_content_size=False).compress(b"one")
    with pytest.raises(DamageError):
        unpack(packed, "key", SIZE)


def test_growing_does_not_read_what_has_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    came, read, pread = as_wal(os.urandom(100_000)), 0, os.pread

    def counted(handle: int, count: int, offset: int) -> bytes:
        nonlocal read
        found = pread(handle, count, offset)
        read += len(found)
        return found

    segment = tmp_path / "segment"
    segment.write_bytes(came.ljust(SEGMENT_BYTES, b"\0"))
    monkeypatch.setattr(os, "pread", counted)
    packing = Packing()
    packing.grow(segment)
    assert unpack(packing.content, "key") == came.rstrip(b"\0")
    assert read < SEGMENT_BYTES // 8
