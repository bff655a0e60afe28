from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.engines.local.identity import (
    UnknownLayoutError,
    crc32c,
    give_identity,
    identifier_of,
    new_identifier,
    with_identity,
)


def control_file(version: int = 1800, *, nonce: int = 257, crc: int = 292) -> bytes:
    """A file laid out as pg_control of that version; the content between the known fields does not matter."""
    content = bytearray(range(256)) + bytearray(crc + 4 - 256)
    struct.pack_into("<QI", content, 0, 42, version)
    content[nonce : nonce + 32] = b"n" * 32
    struct.pack_into("<I", content, crc, crc32c(bytes(content[:crc])))
    return bytes(content).ljust(8192, b"\0")


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (b"", 0)],
)
def test_crc32c_has_the_values_of_rfc_3720(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@given(st.integers(1, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_only_identifier_nonce_and_checksum_change(identifier: int, nonce: bytes) -> None:
    before = control_file()
    after = with_identity(before, identifier, nonce)
    assert identifier_of(after) == identifier
    assert after[257:289] == nonce
    assert after[8:257] == before[8:257]
    assert after[289:292] == before[289:292]
    assert after[296:] == before[296:]
    assert with_identity(after, 42, b"n" * 32) == before


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(UnknownLayoutError):
        with_identity(control_file(1900), 1, bytes(32))


def test_a_checksum_elsewhere_is_an_unknown_layout() -> None:
    with pytest.raises(UnknownLayoutError):
        with_identity(control_file(1700, nonce=257, crc=292), 1, bytes(32))


def test_every_wal_segment_carries_the_new_identifier(tmp_path: Path) -> None:
    (tmp_path / "global").mkdir()
    (tmp_path / "pg_wal" / "archive_status").mkdir(parents=True)
    (tmp_path / "global" / "pg_control").write_bytes(control_file())
    segments = [tmp_path / "pg_wal" / f"{number:024X}" for number in (1, 2)]
    for segment in segments:
        segment.write_bytes(bytes(64))
    identifier = give_identity(tmp_path)
    assert identifier_of((tmp_path / "global" / "pg_control").read_bytes()) == identifier
    assert [struct.unpack_from("<Q", segment.read_bytes(), 24)[0] for segment in segments] == [identifier] * 2


def test_identifiers_do_not_repeat() -> None:
    assert len({new_identifier() for _ in range(100)}) == 100
