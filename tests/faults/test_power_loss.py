"""The power goes: what the store's files were at some moment is all that is left."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from control.fake_engine import World
from control.planes import NEW, Running, running_plane, until
from control.test_kills import is_converged
from faults import writing
from fixtures.server import eventually

from howdah.domain.services import ServiceChange
from howdah.store import keys, organizations
from howdah.store.store import Store

SEED = "HOWDAH_TEST_SEED"


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get(SEED) or random.randrange(1 << 32))
    print(f"{SEED}={seed}")
    return random.Random(seed)


def held(path: Path) -> int:
    """How many writes the store holds, which must be the first ones, each whole."""
    with Store(path) as store:
        found = organizations.everyone(store)
        assert [one.name for one in found] == [str(number) for number in range(len(found))]
        assert all([key.name for key in keys.of(store, one.id)] == [one.name] for one in found)
        asyncio.run(writing.write(store, len(found)))  # it goes on from there
        return len(found)


def copy(source: Path, target: Path) -> Path:
    """The files of a store as they are, byte for byte."""
    target.mkdir()
    for file in source.glob("howdah.db*"):
        shutil.copyfile(file, target / file.name)
    return target / "howdah.db"


def is_stopped(pid: int) -> bool:
    states = [
        task.joinpath("stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()
    ]
    return set(states) <= set("tT")


@pytest.mark.fault(
    what="The power goes while the store is written (its files as they were in the middle of any system call, with"
    " what was not yet synced torn or overwritten)",
    then="The store opens and holds every acknowledged write, each whole, and nothing out of order",
)
@pytest.mark.parametrize("moments", [40, pytest.param(400, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_a_copy_of_any_moment_holds_all_that_was_acknowledged(
    tmp_path: Path, chance: random.Random, moments: int
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    program = [sys.executable, writing.__file__, str(source / "howdah.db")]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        acknowledged = int(writer.stdout.readline()) + 1
        os.set_blocking(writer.stdout.fileno(), False)
        rest = b""
        for moment in range(moments):
            eventually("it writes on", lambda: writer.stdout.peek(1), every=chance.random() / 100)
            os.kill(writer.pid, signal.SIGSTOP)
            eventually("it stands still", lambda: is_stopped(writer.pid), every=0)
            rest += writer.stdout.read() or b""
            acknowledged = int(rest.split(b"\n")[-2]) + 1
            rest = b"\n".join(rest.split(b"\n")[-2:])
            path = copy(source, tmp_path / str(moment))
            os.kill(writer.pid, signal.SIGCONT)
            tear(path, chance)
            assert acknowledged <= held(path) <= acknowledged + 1
            shutil.rmtree(path.parent)
        writer.kill()


def tear(path: Path, chance: random.Random) -> None:
    """What comes after the log's synced part was on its way to the disk: some of it is there, some is not. What was
    never written of a file is zeros. The index beside the log is memory, and gone."""
    path.with_name("howdah.db-shm").unlink(missing_ok=True)
    with path.with_name("howdah.db-wal").open("ab") as log:
        if log.tell() == 0:
            log.write(bytes(chance.randrange(10_000)))
        else:
            log.write(chance.randbytes(chance.randrange(10_000)))


@pytest.mark.fault(
    what="The store's log is cut off at any byte (a file system that lost what it had confirmed)",
    then="The store opens and holds the writes up to there, each whole",
)
@pytest.mark.parametrize("cuts", [60, pytest.param(None, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_a_log_cut_off_anywhere_holds_the_writes_up_to_there(
    tmp_path: Path, chance: random.Random, cuts: int | None
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    ends: list[int] = []
    log = source / "howdah.db-wal"
    with Store(source / "howdah.db") as store:
        asyncio.run(store.forget())
        for number in range(20):
            asyncio.run(writing.write(store, number))
            ends.append(log.stat().st_size)
        whole = copy(source, tmp_path / "whole")
    places = range(0, ends[-1] + 1, 97) if cuts is None else sorted(chance.sample(range(ends[-1] + 1), cuts))
    for place in places:
        path = copy(whole.parent, tmp_path / str(place))
        path.with_name("howdah.db-shm").unlink()
        os.truncate(path.with_name("howdah.db-wal"), place)
        assert held(path) == sum(end <= place for end in ends)
        shutil.rmtree(path.parent)


def has_passwords(running: Running) -> bool:
    return all(server.verifier for server in running.engine.world.servers.values())


@pytest.mark.fault(
    what="The machine loses power and comes back with the state directory as it was at any moment",
    then="Every service whose creation was acknowledged is made to run again, and nothing else is",
)
async def test_a_control_plane_converges_from_a_copy_of_any_moment(tmp_path: Path, chance: random.Random) -> None:
    known: dict[Path, set[str]] = {}
    created: set[str] = set()
    deleted: set[str] = set()
    async with running_plane(tmp_path / "s", World()) as running:

        async def client() -> None:
            services, organization = running.plane.services, running.organization
            for number in range(4):
                one = (await services.create(organization, NEW)).id
                created.add(one.ubid)
                await services.change(organization, one, ServiceChange(name=f"renamed {number}"))
                if number % 2:
                    deleted.add(one.ubid)
                    await services.delete(organization, one)

        def keep() -> None:
            target = tmp_path / f"copy {len(known)}"
            known[target] = created - deleted
            copy(tmp_path / "s", target)
            for name in ("secrets.key", "bootstrap.env", "routes.json"):
                shutil.copy(tmp_path / "s" / name, target / name)

        clients = asyncio.gather(*(client() for _ in range(3)))
        while not clients.done():
            # On the thread that writes: between two writes, as the kernel would have had it.
            await asyncio.wrap_future(running.plane.store._writer.submit(keep))
            await asyncio.sleep(chance.random() / 50)
        await clients
    assert len(known) > 2
    for state, services in known.items():
        async with running_plane(state, World(next_port=30_000)) as running:
            await until(f"{state} converges", lambda r=running: has_passwords(r) and is_converged(r))
            present = {one.id.ubid for one in running.plane.services.list(running.organization)}
            assert services <= present
