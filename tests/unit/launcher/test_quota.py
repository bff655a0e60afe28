from __future__ import annotations

from pathlib import Path

import pytest

from howdah.launcher import quota
from howdah.launcher.quota import Mount

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
30 22 8:2 / /var/lib rw,relatime shared:2 - ext4 /dev/sda2 rw,usrjquota=aquota.user,jqfmt=vfsv1
31 30 8:3 / /var/lib/howdah rw,relatime - xfs /dev/sdb rw,attr2,usrquota
32 22 8:4 / /with\040space rw - xfs /dev/sdc rw,uquota
33 22 8:5 / /hidden rw - xfs /dev/sdd rw,usrquota
34 33 0:40 / /hidden rw - tmpfs tmpfs rw
""".strip()


@pytest.mark.parametrize(
    ("path", "point", "counts"),
    [
        ("/var/lib/howdah/services", "/var/lib/howdah", True),
        ("/var/lib/howdahs", "/var/lib", True),
        ("/with space/state", "/with space", True),
        ("/hidden/state", "/hidden", False),
        ("/srv", "/", False),
    ],
)
def test_the_file_system_of_a_directory_and_whether_it_counts_by_user(path: str, point: str, *, counts: bool) -> None:
    mount = Mount.of(Path(path), MOUNTS)
    assert mount.point == point
    assert bool(mount.options & {"usrquota", "uquota", "usrjquota"}) is counts


class Programs:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def setquota(self, script: str) -> None:
        program = self.directory / "setquota"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A machine whose state directory lies on a file system that counts, with no setquota yet."""
    monkeypatch.setattr(quota, "_PATH", str(tmp_path))
    monkeypatch.setattr(quota, "_mount", lambda _: Mount("/data", frozenset({"rw", "usrquota"})))
    return Programs(tmp_path)


def test_a_service_may_use_the_storage_of_its_size_and_is_set_free_again(programs: Programs, tmp_path: Path) -> None:
    programs.setquota(f'echo "$@" >> {tmp_path}/asked')
    assert quota.missing(Path("/data/state")) is None
    quota.limit(Path("/data/state"), 270001, 118)
    quota.lift(Path("/data/state"), 270001)
    assert (tmp_path / "asked").read_text().splitlines() == [
        "-u 270001 0 123731968 0 7733248 /data",
        "-u 270001 0 0 0 0 /data",
    ]


def test_what_setquota_refuses_is_said(programs: Programs) -> None:
    programs.setquota("echo 'setquota: Mountpoint (or device) /data not found or has no quota enabled.' >&2; exit 1")
    with pytest.raises(OSError, match=r"uid 270001 cannot be set: .*has no quota enabled"):
        quota.limit(Path("/data/state"), 270001, 118)


def test_what_is_missing_is_named(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    assert quota.missing(Path("/data/state")) == "setquota not found; apt-get install quota"
    with pytest.raises(OSError, match="apt-get install quota"):
        quota.limit(Path("/data/state"), 270001, 118)
    monkeypatch.setattr(quota, "_mount", lambda _: Mount("/", frozenset({"rw"})))
    assert quota.missing(Path("/data/state")) == (
        "the file system of /data/state (mounted at /) has no user quotas on; mount option usrquota"
    )
