"""The verbs refuse what is not an instance's, and follow nothing that a tenant or a control plane put there."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import pytest

from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance
from howdah.launcher import removal
from howdah.launcher.__main__ import answer, serve
from howdah.launcher.client import Launcher, LauncherEndedError
from howdah.launcher.files import read_foreign, replace_file
from howdah.launcher.layout import Layout
from howdah.launcher.limits import Limits
from howdah.launcher.removal import discard
from howdah.launcher.rights import Rights
from howdah.launcher.servers import Started
from howdah.launcher.verbs import Verbs
from howdah.launcher.wire import receive, send

ROOT = os.geteuid() == 0
LIMITS = Limits(None, 1024, None)
UIDS = range(270000, 270010)
INSTANCE = Instance(InstanceId.new(), ServiceId.new(), 20001, UIDS.start if ROOT else None)
as_root = pytest.mark.skipif(not ROOT, reason="uids are only root's to choose")


@pytest.fixture
def places() -> Iterator[Layout]:
    """Below a directory that the users of instances may pass through."""
    with TemporaryDirectory(prefix="hwl-") as made:
        top = Path(made)
        top.chmod(0o755)
        (top / "state").mkdir()
        yield Layout(top / "state", top / "run", top / "postgres", top / "templates")


@pytest.fixture
def launcher(places: Layout) -> Launcher:
    return Launcher.in_process(places, Rights.in_process(UIDS))


def clone(places: Layout, name: str = "taken-1") -> Path:
    made = places.pool / "18" / name
    (made / "global").mkdir(parents=True)
    (made / "global" / "pg_control").write_bytes(bytes(range(64)))
    return made


@as_root
@pytest.mark.parametrize("uid", [0, 1, 1000, UIDS.stop, None])
def test_a_uid_that_is_no_instances_is_refused(launcher: Launcher, uid: int | None) -> None:
    stranger = replace(INSTANCE, uid=uid)
    for verb in (
        lambda: launcher.prepare(stranger),
        lambda: launcher.kill_all(stranger),
        lambda: launcher.start(stranger, "18.6.0", [], environment={}, limits=LIMITS, storage_gib=1),
        lambda: launcher.signal(stranger, Started(os.getpid(), 0), 9),
        lambda: launcher.delete(stranger),
    ):
        with pytest.raises(ValueError, match="uid"):
            verb()


@as_root
def test_a_process_that_is_not_the_instances_is_not_signalled(launcher: Launcher) -> None:
    with pytest.raises(ValueError, match="not one of the instance's"):
        launcher.signal(INSTANCE, Started(os.getpid(), 0), 9)


def test_only_settings_are_given_to_a_server_and_only_our_programs_are_run(launcher: Launcher) -> None:
    for version, settings in (("../../bin", []), ("18", ["-c", "x=y"]), ("18", ["--single"]), ("/usr", [])):
        with pytest.raises(ValueError, match="settings"):
            launcher.start(INSTANCE, version, settings, environment={}, limits=LIMITS, storage_gib=1)
    with pytest.raises(ValueError, match="locale"):
        launcher.start(INSTANCE, "18", [], environment={"LD_PRELOAD": "/tmp/evil.so"}, limits=LIMITS, storage_gib=1)


def test_only_the_files_of_a_configuration_are_written(launcher: Launcher) -> None:
    launcher.prepare(INSTANCE)
    for name in ("conf/other", "../x", "/etc/passwd", "data/postgresql.auto.conf"):
        with pytest.raises(ValueError, match="no file"):
            launcher.configure(INSTANCE, {name: b""})


def test_a_clone_becomes_the_instances_own(launcher: Launcher, places: Layout) -> None:
    clone(places)
    assert launcher.prepare(INSTANCE)
    launcher.place(INSTANCE, "18/taken-1", "18.6.0")
    data = places.of(INSTANCE).data
    assert not launcher.prepare(INSTANCE)
    owners = {path.stat().st_uid for path in (data, *data.rglob("*"))}
    assert owners == {INSTANCE.uid if ROOT else os.geteuid()}
    assert launcher.look(INSTANCE, None).initialised


@pytest.mark.parametrize("name", ["", "18", "/etc/ssl", "18/../../x", "../x", "18/.."])
def test_a_clone_comes_from_the_pool_and_from_nowhere_else(launcher: Launcher, places: Layout, name: str) -> None:
    clone(places)
    launcher.prepare(INSTANCE)
    with pytest.raises(OSError, match="no clone"):
        launcher.place(INSTANCE, name, "18.6.0")


def test_a_link_in_the_pool_is_no_clone(launcher: Launcher, places: Layout, tmp_path: Path) -> None:
    clone(places, "real").parent.joinpath("linked").symlink_to(tmp_path)
    (places.pool / "19").symlink_to(tmp_path)
    (tmp_path / "victim").mkdir()
    launcher.prepare(INSTANCE)
    for name in ("18/linked", "19/victim"):
        with pytest.raises(OSError, match=r"no directory|Not a directory|Too many levels"):
            launcher.place(INSTANCE, name, "18.6.0")
    assert (tmp_path / "victim").is_dir()


@as_root
def test_what_is_not_the_control_planes_own_is_not_given_away(
    launcher: Launcher, places: Layout, tmp_path: Path
) -> None:
    """A hard link to somebody else's file in a clone, as a control plane that was taken over could put there."""
    precious = tmp_path / "precious"
    precious.touch()
    os.chown(precious, 12345, 12345)
    made = clone(places)
    os.link(precious, made / "global" / "shadow")
    launcher.prepare(INSTANCE)
    with pytest.raises(OSError, match="not a plain file of the control plane"):
        launcher.place(INSTANCE, "18/taken-1", "18.6.0")
    assert precious.stat().st_uid == 12345


def test_only_what_never_held_data_is_deleted_as_a_leftover(launcher: Launcher, places: Layout) -> None:
    clone(places)
    launcher.prepare(INSTANCE)
    (home,) = launcher.homes()
    launcher.place(INSTANCE, "18/taken-1", "18.6.0")
    with pytest.raises(ValueError, match="holds the data"):
        launcher.delete_leftover(home)
    launcher.delete(INSTANCE)
    assert launcher.homes() == []


def test_a_call_that_is_none_is_answered_and_changes_nothing(places: Layout) -> None:
    table = Verbs(places, Rights.in_process(UIDS), places.state / "hosts").table
    for call in (None, [], ["__init__"], ["look"], ["look", 1, 2], {"verb": "look"}, ["delete_leftover", "..", "x"]):
        assert "refused" in answer(call, table)
    assert list(places.state.iterdir()) == []


def test_every_verb_travels_the_wire_as_it_is_called_in_process(places: Layout) -> None:
    ours, theirs = socket.socketpair()
    table = Verbs(places, Rights.in_process(UIDS), places.state / "hosts").table
    served = Thread(target=serve, args=(theirs, table))
    served.start()

    def call(verb: str, *arguments: object) -> Any:
        send(ours, [verb, *arguments])
        answered = receive(ours)
        assert "result" in answered, answered
        return answered["result"]

    beside, within = Launcher(Rights.in_process(UIDS), call), Launcher.in_process(places, Rights.in_process(UIDS))
    clone(places)
    assert beside.prepare(INSTANCE)
    beside.place(INSTANCE, "18/taken-1", "18.6.0")
    beside.note(INSTANCE, b"\x00binary")
    beside.configure(INSTANCE, {"conf/pg_hba.conf": b"\xff"})
    far, near = beside.look(INSTANCE, os.getpid()), within.look(INSTANCE, os.getpid())
    assert far.server is not None
    assert near.server is not None
    assert replace(far, server=replace(far.server, state=near.server.state)) == near
    assert beside.homes() == within.homes() != []
    assert beside.read_log(INSTANCE) == (b"", b"")
    assert beside.find_servers([INSTANCE]) == []
    assert beside.kill_all(INSTANCE)
    beside.delete(INSTANCE)
    assert within.homes() == []
    ours.close()
    served.join(10)


def test_a_launcher_that_is_gone_is_an_error_that_says_so() -> None:
    control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    other.close()
    with control, pytest.raises(LauncherEndedError, match="start howdah again"):
        Launcher.beside(control, Rights.in_process(UIDS)).homes()


def test_deleting_does_not_follow_links(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    victim = tmp_path / "victim"
    (victim / "deep").mkdir(parents=True)
    (victim / "deep" / "link").symlink_to(kept)
    (victim / "name with\nnewline").touch()
    discard(Rights.in_process(UIDS), victim, None)
    assert not victim.exists()
    assert (kept / "file").exists()


def test_a_tenants_file_is_read_only_when_it_is_plainly_its_own(tmp_path: Path) -> None:
    own = os.geteuid()
    (tmp_path / "plain").write_text("0123456789")
    (tmp_path / "linked").symlink_to(tmp_path / "plain")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "twice").write_text("x")
    os.link(tmp_path / "twice", tmp_path / "thrice")
    assert read_foreign(tmp_path, "plain", owner=own, most=4) == b"0123"
    assert read_foreign(tmp_path, "plain", owner=own, most=4, tail=True) == b"6789"
    for name in ("linked", "pipe", "twice", "missing"):
        assert read_foreign(tmp_path, name, owner=own, most=4) is None
    assert read_foreign(tmp_path, "plain", owner=own + 1, most=4) is None


def test_a_file_is_replaced_whole_with_the_rights_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"one", mode=0o600)
    replace_file(path, b"two", mode=0o640)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_data_whose_deletion_was_killed_are_never_taken_for_data(
    launcher: Launcher, places: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone(places)
    launcher.prepare(INSTANCE)
    launcher.place(INSTANCE, "18/taken-1", "18.6.0")
    paths = places.of(INSTANCE)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(removal, "discard", killed)
        with pytest.raises(KeyboardInterrupt):
            launcher.discard_data(INSTANCE)
    assert not paths.data.exists()
    assert launcher.prepare(INSTANCE), "a clone is needed again"
    assert not paths.discarded.exists()


def test_what_was_emptied_before_it_was_recorded_is_made_anew(launcher: Launcher, places: Layout) -> None:
    clone(places)
    launcher.prepare(INSTANCE)
    launcher.place(INSTANCE, "18/taken-1", "18.6.0")
    paths = places.of(INSTANCE)
    paths.initialised.unlink()  # As a kill right before leaves it.
    assert not launcher.prepare(INSTANCE), "all that it needs is there"
    (paths.data / "global" / "pg_control").unlink()
    assert launcher.prepare(INSTANCE)
    assert not paths.data.exists()


LEADS, FOLLOWS = (1, 3, 4, 6), (0, 2, 5)


@pytest.mark.parametrize(("state", "led"), [*((one, True) for one in LEADS), *((one, False) for one in FOLLOWS)])
def test_a_control_file_says_what_the_last_server_was(
    launcher: Launcher, places: Layout, state: int, led: bool
) -> None:
    data = places.of(INSTANCE).data
    (data / "global").mkdir(parents=True)
    assert launcher.last_ran(INSTANCE) is None
    content = bytearray(8192)
    for at, value in ((16, state), (48, 2), (144, 3)):
        struct.pack_into("<i", content, at, value)
    own(data / "global" / "pg_control").write_bytes(content)
    assert launcher.last_ran(INSTANCE) == (led, 3)
    struct.pack_into("<i", content, 144, 0)
    own(data / "global" / "pg_control").write_bytes(content)
    assert launcher.last_ran(INSTANCE) == (led, 2)
    own(data / "backup_label").write_bytes(b"START WAL LOCATION")
    assert launcher.last_ran(INSTANCE) == (False, 2), "a copy in which no server has run says what was copied"


def own(file: Path) -> Path:
    file.touch()
    if INSTANCE.uid is not None:
        os.chown(file, INSTANCE.uid, -1)
    return file
