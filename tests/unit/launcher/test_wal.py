"""WAL is read from and written to plain files of the server's own, and to nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from howdah.backup.wal import SEGMENT_BYTES, Segment
from howdah.launcher.wal import read_wal, write_wal

ME = os.geteuid()
NAME = Segment(2, 5).name


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "pg_wal").mkdir(parents=True)
    return tmp_path / "data"


def test_what_is_written_is_read(data: Path) -> None:
    assert read_wal(data, ME, 5, 0, 100) is None
    write_wal(data, ME, NAME, 8192, b"page")
    write_wal(data, ME, NAME, 8196, b" and more")
    assert read_wal(data, ME, 5, 8190, 20) == (NAME, b"\0\0page and more\0\0\0\0\0")
    assert (data / "pg_wal" / NAME).stat().st_size == SEGMENT_BYTES


def test_the_newest_timeline_of_a_segment_is_read(data: Path) -> None:
    write_wal(data, ME, NAME, 0, b"newer")
    write_wal(data, ME, Segment(1, 5).name, 0, b"older")
    write_wal(data, ME, Segment(3, 6).name, 0, b"another")
    assert read_wal(data, ME, 5, 0, 5) == (NAME, b"newer")


@pytest.mark.parametrize(
    ("name", "offset", "content"),
    [("../escape", 0, b"x"), ("postgresql.conf", 0, b"x"), (NAME, -1, b"x"), (NAME, SEGMENT_BYTES, b"x")],
)
def test_what_is_no_part_of_a_segment_is_refused(data: Path, name: str, offset: int, content: bytes) -> None:
    with pytest.raises(ValueError, match="no part of a segment"):
        write_wal(data, ME, name, offset, content)
    assert list((data / "pg_wal").iterdir()) == []


def link_to_file(data: Path, victim: Path) -> None:
    (data / "pg_wal" / NAME).symlink_to(victim)


def second_name(data: Path, victim: Path) -> None:
    os.link(victim, data / "pg_wal" / NAME)


def link_to_directory(data: Path, victim: Path) -> None:
    (data / "pg_wal").rmdir()
    (victim.parent / NAME).write_bytes(bytes(SEGMENT_BYTES))
    (data / "pg_wal").symlink_to(victim.parent)


def fifo(data: Path, _victim: Path) -> None:
    os.mkfifo(data / "pg_wal" / NAME)


@pytest.mark.parametrize("plant", [link_to_file, second_name, link_to_directory, fifo])
def test_what_its_tenant_planted_is_not_touched(data: Path, tmp_path: Path, plant: object) -> None:
    (tmp_path / "elsewhere").mkdir()
    victim = tmp_path / "elsewhere" / "victim"
    victim.write_bytes(b"secret".ljust(SEGMENT_BYTES, b"\0"))
    assert callable(plant)
    plant(data, victim)
    with pytest.raises(OSError):  # which one is the system's affair
        write_wal(data, ME, NAME, 0, b"harm")
    with pytest.raises(OSError):
        read_wal(data, ME, 5, 0, 6)
    assert victim.read_bytes()[:6] == b"secret"
    assert all(path.read_bytes()[:4] != b"harm" for path in victim.parent.iterdir())


def test_what_is_somebody_elses_is_not_touched(data: Path) -> None:
    write_wal(data, ME, NAME, 0, b"content")
    with pytest.raises(PermissionError):
        read_wal(data, ME + 1, 5, 0, 6)
    with pytest.raises(PermissionError):
        write_wal(data, ME + 1, NAME, 0, b"harm")
    assert read_wal(data, ME, 5, 0, 7) == (NAME, b"content")
