"""Base backups come out as data directories, and hostile ones do no harm."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from howdah.backup.errors import DamageError
from howdah.backup.unpack import BASE, unpack


def pack(file: Path, *members: tuple[tarfile.TarInfo, bytes]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    file.write_bytes(zstandard.ZstdCompressor(write_checksum=True).compress(buffer.getvalue()))


def file(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), content


def other(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member, b""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    directory.mkdir()
    return directory


def test_files_and_directories_come_out(source: Path, tmp_path: Path):
    pack(source / BASE, other("base", tarfile.DIRTYPE), file("base/1/2"), other("pg_wal", tarfile.DIRTYPE))
    unpack(source, tmp_path / "data")
    assert (tmp_path / "data/base/1/2").read_bytes() == b"x"
    assert (tmp_path / "data/pg_wal").is_dir()
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "data").rglob("*")} == {0}


def test_tablespaces_come_out_inside_the_data_directory(source: Path, tmp_path: Path):
    pack(
        source / BASE,
        file("tablespace_map", b"16385 /elsewhere\n"),
        other("pg_tblspc", tarfile.DIRTYPE),
        other("pg_tblspc/16385", tarfile.SYMTYPE, "/elsewhere"),
    )
    pack(source / "16385.tar.zst", file("PG_18_202506291/5/16386"))
    unpack(source, tmp_path / "data")
    assert (tmp_path / "data/pg_tblspc/16385/PG_18_202506291/5/16386").read_bytes() == b"x"
    assert not (tmp_path / "data/pg_tblspc/16385").is_symlink()
    assert not (tmp_path / "data/tablespace_map").exists()


def test_what_was_begun_is_begun_anew(source: Path, tmp_path: Path):
    pack(source / BASE, file("PG_VERSION", b"18\n"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/half").write_text("a file of the last try")
    unpack(source, tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["PG_VERSION"]


@pytest.mark.parametrize(
    "members",
    [
        [file("../outside")],
        [file("base/../../outside")],
        [other("../outside", tarfile.DIRTYPE)],
        [other("link", tarfile.SYMTYPE, ".."), file("link/outside")],
        [other("link", tarfile.LNKTYPE, "../outside")],
        [other("device", tarfile.CHRTYPE)],
        [other("pipe", tarfile.FIFOTYPE)],
        [file("PG_VERSION"), file("PG_VERSION")],
        [file("PG_VERSION"), file("PG_VERSION/1")],
        [file("x" * 5000)],
        [other("pg_tblspc/1", tarfile.SYMTYPE, "../.."), file("pg_tblspc/1/../../outside")],
    ],
)
def test_nothing_comes_out_beside_the_data_directory(
    source: Path, tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]
):
    pack(source / BASE, *members)
    with pytest.raises((DamageError, OSError)):
        unpack(source, tmp_path / "data")
    assert not (tmp_path / "outside").exists()


def test_an_absolute_name_does_not_leave_the_data_directory(source: Path, tmp_path: Path):
    pack(source / BASE, file(str(tmp_path / "outside")))
    with pytest.raises(DamageError, match="does not lie in a data directory"):
        unpack(source, tmp_path / "data")
    assert not (tmp_path / "outside").exists()


def test_a_link_in_the_place_of_a_tablespace_is_not_followed(source: Path, tmp_path: Path):
    pack(source / BASE, other("pg_tblspc/1", tarfile.SYMTYPE, str(tmp_path / "elsewhere")))
    pack(source / "1.tar.zst", file("written"))
    (tmp_path / "elsewhere").mkdir()
    unpack(source, tmp_path / "data")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-20], lambda content: content[: len(content) // 2], lambda _: b"no archive"],
)
def test_damage_is_named(source: Path, tmp_path: Path, damage: Callable[[bytes], bytes]):
    pack(source / BASE, *(file(f"base/{number}", bytes([number]) * 100_000) for number in range(20)))
    (source / BASE).write_bytes(damage((source / BASE).read_bytes()))
    with pytest.raises(DamageError):
        unpack(source, tmp_path / "data")


def test_an_unknown_archive_is_no_tablespace(source: Path, tmp_path: Path):
    pack(source / BASE, file("PG_VERSION"))
    pack(source / "..tar.zst", file("x"))
    with pytest.raises(DamageError, match="no file of a base backup"):
        unpack(source, tmp_path / "data")
