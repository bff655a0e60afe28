from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from control.planes import until

from howdah.control.paths import routes_file
from howdah.control.router_process import RouterProcess
from howdah.domain.routes import encode_routes
from howdah.domain.settings import RouterSettings
from howdah.launcher.processes import all_pids, inspect_process


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def pid_of(state: Path) -> int:
    return json.loads((state / "router" / "status.json").read_bytes())["pid"]


@pytest.fixture
async def state(tmp_path: Path) -> AsyncGenerator[Path]:
    routes_file(tmp_path).write_bytes(encode_routes([]))
    yield tmp_path
    for pid in all_pids():
        facts = inspect_process(pid)
        if facts is not None and str(routes_file(tmp_path)) in facts.arguments:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _another_runs(state: Path, old: int) -> bool:
    """Its status file comes and goes meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return pid_of(state) != old
    return False


def router(state: Path, port: int) -> RouterProcess:
    return RouterProcess(state, RouterSettings(addresses=("127.0.0.1",), port=port), lambda _port: None)


async def test_a_router_is_started_detached_and_adopted_by_the_next_control_plane(state: Path) -> None:
    port = free_port()
    first = router(state, port)
    await first.start()
    assert (first.port, first.problem) == (port, None)
    pid = pid_of(state)
    assert os.getsid(pid) == pid
    second = router(state, port)
    await second.start()
    assert (pid_of(state), second.port) == (pid, port)
    assert listens(port)


@pytest.mark.parametrize("other", [{"version": "0.0.1"}, {"table": 1}])
async def test_a_router_of_another_version_is_renewed_and_keeps_its_process(
    state: Path, other: dict[str, object]
) -> None:
    first = router(state, free_port())
    await first.start()
    status = json.loads((state / "router" / "status.json").read_bytes())
    (state / "router" / "status.json").write_text(json.dumps(status | other))
    second = router(state, first.port)
    await second.start()
    now = json.loads((state / "router" / "status.json").read_bytes())
    assert (now["pid"], now["port"], now["version"]) == (status["pid"], first.port, status["version"])
    assert now["started_at"] != status["started_at"]
    assert listens(first.port)


async def test_a_running_router_obeys_another_port(state: Path) -> None:
    first = router(state, free_port())
    await first.start()
    pid = pid_of(state)
    second = router(state, free_port())
    await second.start()
    assert (pid_of(state), listens(second.port), listens(first.port)) == (pid, True, False)


async def test_a_running_router_obeys_another_number_of_workers(state: Path) -> None:
    first = router(state, free_port())
    await first.start()
    second = RouterProcess(state, RouterSettings(("127.0.0.1",), first.port, workers=2), lambda _port: None)
    await second.start()
    pid = pid_of(state)
    await until("it has two", lambda: len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()) == 2)
    assert listens(first.port)
    third = RouterProcess(state, RouterSettings(("127.0.0.1",), first.port, workers=2), lambda _port: None)
    started = json.loads((state / "router" / "status.json").read_bytes())["started_at"]
    await third.start()
    assert json.loads((state / "router" / "status.json").read_bytes())["started_at"] == started


async def test_a_router_whose_directory_was_deleted_is_adopted_when_it_is_made_anew(state: Path) -> None:
    first = router(state, free_port())
    await first.start()
    pid = pid_of(state)
    shutil.rmtree(state / "router")
    second = router(state, first.port)
    await second.start()
    assert (pid_of(state), second.port, second.problem) == (pid, first.port, None)
    assert listens(first.port)


async def test_a_router_that_cannot_be_renewed_is_kept(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = router(state, free_port())
    await first.start()
    monkeypatch.setattr("howdah.control.router_process.__version__", "9.9.9")
    monkeypatch.setattr("howdah.control.router_process.sys.executable", "/nowhere/python")
    monkeypatch.setattr("howdah.control.router_process.START_SECONDS", 2.0)
    second = router(state, first.port)
    await second.start()
    assert (second.problem, listens(first.port)) == (None, True)


async def test_a_router_that_dies_is_started_again_on_the_same_port(state: Path) -> None:
    for adopted in (False, True):
        process = router(state, 0)
        await process.start()
        port, pid = process.port, pid_of(state)
        watch = asyncio.create_task(process.watch())
        try:
            os.kill(pid, signal.SIGKILL)
            await until(
                f"another router (adopted: {adopted})",
                lambda p=process, old=pid: _another_runs(state, old) and p.problem is None,
            )
            assert (process.port, listens(port)) == (port, True)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


async def test_a_taken_port_gives_another_one_that_the_next_start_prefers(state: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        asked = holder.getsockname()[1]
        first = router(state, asked)
        await first.start()
        assert first.port != asked
        os.kill(pid_of(state), signal.SIGKILL)
        await until("it ended", lambda: not listens(first.port))
    second = router(state, asked)
    await second.start()
    assert second.port == first.port


async def test_another_asked_port_is_obeyed_and_a_stale_status_file_is_not(state: Path) -> None:
    first = router(state, free_port())
    await first.start()
    os.kill(pid_of(state), signal.SIGKILL)
    await until("it ended", lambda: not listens(first.port))
    status = json.loads((state / "router" / "status.json").read_bytes())
    (state / "router" / "status.json").write_text(json.dumps(status | {"pid": os.getpid()}))
    port = free_port()
    second = router(state, port)
    await second.start()
    assert second.port == port
    assert pid_of(state) != os.getpid()


async def test_a_router_that_cannot_start_says_where_to_look(state: Path) -> None:
    from howdah.domain.errors import SetupError

    process = RouterProcess(state, RouterSettings(addresses=("192.0.2.1",), port=free_port()), lambda _port: None)
    with pytest.raises(SetupError, match=r"the router did not begin to listen \(exit status 1\); see .*router\.log"):
        await process.start()
    assert process.problem is not None


async def test_a_router_that_cannot_be_started_for_now_is_started_once_it_can(state: Path) -> None:
    process = router(state, 0)
    await process.start()
    log = state / "log" / "router.log"
    watch = asyncio.create_task(process.watch())
    try:
        log.rename(log.with_suffix(".aside"))
        log.mkdir()  # cannot be opened for writing, as on a disk that is full or read-only
        os.kill(pid_of(state), signal.SIGKILL)
        await until("it says why", lambda: "the router cannot be started" in (process.problem or ""))
        log.rmdir()
        await until("another router", lambda: process.problem is None and listens(process.port))
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
