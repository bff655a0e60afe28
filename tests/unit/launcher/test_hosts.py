from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.control import resolution
from howdah.control.resolution import Resolution, client_address
from howdah.launcher.hosts import HostsBlock, with_block, without_block

OTHERS = "127.0.0.1 localhost\n# a comment\n::1 ip6-localhost"


def test_a_block_is_added_changed_and_removed_and_other_lines_stay(tmp_path: Path) -> None:
    hosts, owner = tmp_path / "hosts", tmp_path / "state"
    hosts.write_text(OTHERS)
    hosts.chmod(0o644)
    block = HostsBlock(hosts, owner=owner)
    block.replace("127.0.0.1", ["a.localhost", "b.localhost"])
    assert hosts.read_text() == (
        f"{OTHERS}\n# BEGIN howdah {owner}\n127.0.0.1 a.localhost\n127.0.0.1 b.localhost\n# END howdah {owner}\n"
    )
    assert hosts.stat().st_mode & 0o777 == 0o644
    block.replace("127.0.0.1", ["b.localhost"])
    assert "a.localhost" not in hosts.read_text()
    block.replace("127.0.0.1", [])
    assert hosts.read_text() == OTHERS + "\n"


def test_blocks_of_others_stay_as_long_as_their_state_does(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(OTHERS)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        HostsBlock(hosts, owner=tmp_path / name).replace("127.0.0.1", [f"{name}.localhost"])
    assert "one.localhost" in hosts.read_text()
    (tmp_path / "one").rmdir()
    HostsBlock(hosts, owner=tmp_path / "two").replace("127.0.0.1", ["two.localhost"])
    assert "one" not in hosts.read_text()
    assert "two.localhost" in hosts.read_text()


def test_where_nothing_can_be_renamed_it_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(OTHERS)
    inode = hosts.stat().st_ino

    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", refuse)
    block = HostsBlock(hosts, owner=tmp_path)
    block.replace("127.0.0.1", [f"{number}.localhost" for number in range(100)])
    block.replace("127.0.0.1", ["last.localhost"])
    assert hosts.read_text() == (
        f"{OTHERS}\n# BEGIN howdah {tmp_path}\n127.0.0.1 last.localhost\n# END howdah {tmp_path}\n"
    )
    assert hosts.stat().st_ino == inode
    assert sorted(file.name for file in tmp_path.iterdir()) == [".howdah-hosts.lock", "hosts"]


@given(
    st.lists(st.sampled_from(["127.0.0.1 x\n", "# BEGIN howdah /o\n", "# END howdah /o\n", "# END howdah /p\n", "\n"])),
    st.lists(st.sampled_from(["a", "b"])),
)
def test_lines_that_are_not_ours_are_kept_even_of_a_damaged_file(lines: list[str], names: list[str]) -> None:
    made = with_block(lines, "/o", "127.0.0.1", names)
    assert without_block(made, "/o") == without_block(lines, "/o")
    assert with_block(made, "/o", "127.0.0.1", names) == made
    if "# BEGIN howdah /o\n" not in lines:
        others = [line for line in lines if line != "# END howdah /o\n"]
        assert made[: len(others)] == others


async def test_names_that_resolve_need_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: [(2, 1, 6, "", ("127.0.0.1", 0))])
    found = Resolution(domain="localhost", address="127.0.0.1", host=None)
    await found.start()
    found.keep(["a.localhost"])
    assert found.hostaddr is None


def unresolved(*_: object, **__: object) -> None:
    raise socket.gaierror(-2, "Name or service not known")


class HostOf:
    """A machine whose hosts file can be changed."""

    def __init__(self, file: Path) -> None:
        self._block = HostsBlock(file, owner=file)

    def keep_hosts(self, address: str, names: Sequence[str]) -> None:
        self._block.replace(address, names)

    def open_router(self, ports: Sequence[int]) -> str | None:
        raise AssertionError(f"nobody asked for {ports}")


async def test_root_keeps_the_names_in_the_hosts_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    found = Resolution(domain="localhost", address="127.0.0.1", host=HostOf(tmp_path / "hosts"))
    await found.start()
    found.keep(["a.localhost"])
    assert found.hostaddr is None
    assert "127.0.0.1 a.localhost\n" in (tmp_path / "hosts").read_text()


async def test_others_get_an_address_for_their_connection_strings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    found = Resolution(domain="localhost", address="127.0.0.1", host=None)
    await found.start()
    found.keep(["a.localhost"])
    assert found.hostaddr == "127.0.0.1"


async def test_a_hosts_file_that_cannot_be_written_makes_root_say_the_address_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    found = Resolution(domain="localhost", address="127.0.0.1", host=HostOf(tmp_path / "no" / "hosts"))
    await found.start()
    found.keep(["a.localhost"])
    assert found.hostaddr == "127.0.0.1"
    (tmp_path / "no").mkdir()
    found.keep(["a.localhost"])
    assert found.hostaddr is None
    assert "127.0.0.1 a.localhost\n" in (tmp_path / "no" / "hosts").read_text()


async def test_a_name_that_cannot_exist_does_not_resolve() -> None:
    assert not await resolution.resolves("howdah.invalid")


def test_the_address_for_clients_is_one_that_they_can_reach() -> None:
    assert client_address(("::1", "127.0.0.1")) == "127.0.0.1"
    assert client_address(("::1",)) == "::1"
    assert client_address(("0.0.0.0",)) == "127.0.0.1"
    assert client_address(("::",)) == "::1"
    assert client_address(("10.0.0.5",)) == "10.0.0.5"


def test_comments_in_any_encoding_are_kept_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_bytes(b"127.0.0.1 localhost # M\xfcnchen\n")
    block = HostsBlock(file, owner=tmp_path)
    block.replace("127.0.0.1", ["a.localhost"])
    assert b"# M\xfcnchen\n" in file.read_bytes()
    assert b"127.0.0.1 a.localhost\n" in file.read_bytes()
    block.replace("127.0.0.1", [])
    assert file.read_bytes() == b"127.0.0.1 localhost # M\xfcnchen\n"
