"""A control plane that was taken over, as the launcher meets it: whatever it asks for or has put in its own
directories, nothing of it runs as root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fixtures.server import eventually

from howdah.cli.processes import control_plane
from howdah.control.lock import hold
from howdah.control.paths import lock_file
from howdah.domain.errors import SetupError
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance
from howdah.domain.settings import Settings
from howdah.launcher.client import Launcher
from howdah.launcher.layout import Layout, layout
from howdah.launcher.limits import Limits
from howdah.launcher.processes import pids_of_user, uid_of
from howdah.launcher.removal import discard
from howdah.launcher.rights import Rights
from howdah.launcher.verbs import Verbs

UIDS = range(270000, 270010)
LIMITS = Limits(None, 1024, None)
INSTANCE = Instance(InstanceId.new(), ServiceId.new(), 20001, UIDS.start)
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has no launcher with root's rights")


@pytest.fixture
def places() -> Iterator[Layout]:
    """Below a directory that the users of instances may pass through."""
    with TemporaryDirectory(prefix="hwa-") as made:
        top = Path(made)
        top.chmod(0o755)
        (top / "state").mkdir(mode=0o755)
        yield Layout(top / "state", top / "run", top / "state" / "postgres", top / "state" / "templates")


@pytest.fixture
def launcher(places: Layout) -> Launcher:
    return Launcher.in_process(places, Rights.in_process(UIDS))


@pytest.mark.skipif(shutil.which("gcc") is None, reason="makes a library")
def test_libraries_beside_postgres_are_loaded_by_nothing_that_is_root_still(
    launcher: Launcher, places: Layout, tmp_path: Path
) -> None:
    """The programs are the control plane's, and so are their libraries."""
    root, seen = places.binaries / "18.6.0", places.state / "seen"
    for name in ("bin", "lib"):
        (root / name).mkdir(parents=True)
    (root / "bin" / "postgres").symlink_to("/usr/bin/setpriv")
    source = tmp_path / "library.c"
    needed = subprocess.run(["nm", "-D", "/usr/bin/setpriv"], capture_output=True, text=True, check=True).stdout
    functions = {name for name in needed.split() if name.startswith("capng_")}
    assert functions
    source.write_text(
        "#include <stdio.h>\n#include <unistd.h>\n"
        "__attribute__((constructor)) static void run(void) {"
        f' FILE *file = fopen("{seen}", "a"); if (file) {{ fprintf(file, "%d\\n", geteuid()); fclose(file); }} }}\n'
        + "".join(f"int {name}(void) {{ return -1; }}\n" for name in functions)
    )
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(root / "lib" / "libcap-ng.so.0"), str(source)], check=True)
    seen.touch()
    seen.chmod(0o666)
    launcher.prepare(INSTANCE)
    places.of(INSTANCE).data.mkdir()
    started = launcher.start(INSTANCE, "18.6.0", [], environment={}, limits=LIMITS, storage_gib=1)
    os.waitpid(started.pid, 0)
    assert seen.read_text() == f"{INSTANCE.uid}\n"


def test_a_tenant_that_kills_whatever_its_user_runs_is_killed_itself(launcher: Launcher) -> None:
    """It forks away from what kills one process, and kills at once what has only its own rights."""
    attack = "import os\nwhile True:\n  try: os.kill(-1, 9)\n  except ProcessLookupError: os.fork()"
    setpriv = ["setpriv", "--reuid", str(INSTANCE.uid), "--regid", str(INSTANCE.uid), "--clear-groups"]
    with subprocess.Popen([*setpriv, "/usr/bin/python3", "-I", "-c", attack]) as attacker:
        eventually("it attacks", lambda: uid_of(attacker.pid) == INSTANCE.uid)
        killed = launcher.kill_all(INSTANCE)
        for pid in pids_of_user(UIDS.start):
            os.kill(pid, signal.SIGKILL)  # it is waited for below, whatever came of it
    assert killed
    assert pids_of_user(UIDS.start) == []


def test_what_a_tenant_may_not_delete_is_named_however_much_it_is(places: Layout) -> None:
    victim = places.state / "victim"
    for number in range(300):
        (victim / "other" / f"{number}-{'x' * 200}").mkdir(parents=True)
    os.chown(victim, INSTANCE.uid or 0, -1)
    with pytest.raises(OSError, match=r"(?s)cannot be deleted: .*Permission denied.*Directory not empty$") as refused:
        discard(Rights.in_process(UIDS), victim, INSTANCE.uid)
    assert len(str(refused.value)) < 500
    assert len(list((victim / "other").iterdir())) == 300
    (victim / "other").rename(places.state / "other")
    discard(Rights.in_process(UIDS), victim, INSTANCE.uid)
    assert not victim.exists()


def test_a_link_that_root_did_not_make_does_not_choose_a_directory(places: Layout, tmp_path: Path) -> None:
    """Where there is none root would make one, and give it to the system user."""
    places.binaries.symlink_to(tmp_path / "sshd.service.d")
    assert layout(Settings(state=places.state), privileged=True).binaries == tmp_path / "sshd.service.d"
    os.lchown(places.binaries, 12345, 12345)
    with pytest.raises(SetupError, match="neither root nor you made"):
        layout(Settings(state=places.state), privileged=True)


def test_the_lock_names_a_process_of_its_owner_or_none(tmp_path: Path) -> None:
    """Root ends the process that is named there."""
    file = lock_file(tmp_path)
    with hold(file):
        assert control_plane(tmp_path) == os.getpid()
        os.chown(file, 12345, 12345)
        assert control_plane(tmp_path) is None
        for said in (b"-1", b"0", b"x", b"1"):
            file.write_bytes(said)
            assert control_plane(tmp_path) is None, said


def test_a_data_directory_is_read_without_following_links_or_waiting(
    launcher: Launcher, places: Layout, tmp_path: Path
) -> None:
    launcher.prepare(INSTANCE)
    data = places.of(INSTANCE).data
    data.mkdir()
    (data / "global").symlink_to(tmp_path)
    (tmp_path / "pg_control").write_bytes(bytes(8))
    with pytest.raises(FileNotFoundError, match="no data directory"):
        launcher.place(INSTANCE, None, "18.6.0")
    (data / "global").unlink()
    (data / "global").mkdir()
    os.mkfifo(data / "global" / "pg_control")
    with pytest.raises(FileNotFoundError, match="no data directory"):
        launcher.place(INSTANCE, None, "18.6.0")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("127.0.0.1\n203.0.113.1 deb.debian.org", "x.localhost"),
        ("127.0.0.1", "x.localhost\n203.0.113.1 deb.debian.org"),
        ("127.0.0.1", "deb.debian.org other.localhost"),
        ("elsewhere", "x.localhost"),
        ("127.0.0.1", "deb.debian.org"),
        ("127.0.0.1", "localhost"),
    ],
)
def test_the_hosts_file_gets_names_of_services_alone(places: Layout, address: str, name: str) -> None:
    hosts = places.state / "hosts"
    table = Verbs(places, Rights.in_process(UIDS), hosts, domain="localhost").table
    with pytest.raises(ValueError, match="not a"):
        table["keep_hosts"](address, [name])
    assert not hosts.exists()
    table["keep_hosts"]("127.0.0.1", ["x.org.localhost"])
    assert "127.0.0.1 x.org.localhost" in hosts.read_text()
