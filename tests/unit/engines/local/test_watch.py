from __future__ import annotations

import asyncio
import subprocess

from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance
from howdah.engines.local.watch import LONGEST_WAIT, Watch, restart_delay
from howdah.launcher.servers import Started

INSTANCE = Instance(InstanceId.new(), ServiceId.new(), 20001, None)


def test_the_first_restart_is_at_once_and_later_ones_wait_ever_longer_up_to_a_bound() -> None:
    delays = [restart_delay(failures) for failures in range(1, 12)]
    assert delays[0] == 0
    assert delays == sorted(delays)
    assert delays[1] > 0
    assert delays[-1] == LONGEST_WAIT
    assert restart_delay(10_000) == LONGEST_WAIT


async def end_of(command: list[str], *, asked: bool = False, said: str | None = None, full: bool = False) -> Watch:
    changed: asyncio.Queue[Instance] = asyncio.Queue()
    child = subprocess.Popen(command)
    watch = Watch(changed.put_nowait, lambda _pid: child.poll(), lambda _instance, _ran: said, lambda: full)
    assert watch.hold(INSTANCE, Started(child.pid, 0))
    if asked:
        watch.stop_asked(INSTANCE.id)
    async with asyncio.timeout(10):
        assert await changed.get() == INSTANCE
    assert child.returncode is not None, "it is reaped"
    assert watch.pid(INSTANCE.id) is None
    return watch


async def test_the_death_of_a_server_is_an_event_with_a_reason() -> None:
    watch = await end_of(["sh", "-c", "kill -KILL $$"])
    assert watch.last_exit(INSTANCE.id) == "the server was killed by SIGKILL"
    assert watch.wait(INSTANCE.id) == 0


async def test_a_failed_start_is_explained_by_its_log() -> None:
    watch = await end_of(["sh", "-c", "exit 1"], said="could not open file")
    assert watch.last_exit(INSTANCE.id) == "the server ended with exit status 1: could not open file"
    assert watch.failed_starts(INSTANCE.id) == 1


async def test_a_start_that_fails_on_a_full_disk_says_so_and_says_nothing_of_its_data() -> None:
    watch = await end_of(["sh", "-c", "exit 1"], full=True)
    assert watch.last_exit(INSTANCE.id) == "the server ended with exit status 1: the disk is full"
    assert watch.failed_starts(INSTANCE.id) == 0


async def test_an_end_that_was_asked_for_is_no_failure() -> None:
    watch = await end_of(["true"], asked=True)
    assert watch.last_exit(INSTANCE.id) is None


async def test_one_missed_probe_is_no_verdict_but_two_are() -> None:
    changed: list[Instance] = []
    watch = Watch(changed.append, lambda _pid: None, lambda _instance, _ran: None, lambda: False)
    child = subprocess.Popen(["sleep", "60"])
    try:
        watch.hold(INSTANCE, Started(child.pid, 0))
        verdicts: list[bool] = []
        for alive in (False, False, False, True):
            watch.probed(INSTANCE.id, alive=alive)
            verdicts.append(watch.answering(INSTANCE.id))
        assert verdicts == [True, False, False, True]
        assert changed == [INSTANCE, INSTANCE]
    finally:
        watch.close()
        child.kill()
        child.wait()
