"""How much one key may ask, and how long those wait who guess."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from api.client import Client
from howdah.api import slowdown
from howdah.api.rate_limits import RateLimits
from howdah.api.slowdown import FREE_FAILURES, LONGEST_DELAY, MOST_REMEMBERED, MOST_WAITING, Slowdown
from howdah.domain.organizations import Role
from howdah.domain.settings import ApiSettings, Settings

LIMIT = 5


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path / "state", api=ApiSettings(rate_limit=LIMIT))


async def test_every_answer_to_a_key_says_what_is_left(client: Client) -> None:
    answers = [await client.send("GET", client.services) for _ in range(LIMIT)]
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["4", "3", "2", "1", "0"]
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {str(LIMIT)}
    resets = [float(answer.headers["x-ratelimit-reset"]) for answer in answers]
    assert resets == sorted(resets, reverse=True)
    assert all(0 <= reset <= 10 for reset in resets)
    assert all("retry-after" not in answer.headers for answer in answers)


async def test_one_request_too_many_is_429_and_learns_when_to_come_again(client: Client) -> None:
    for _ in range(LIMIT):
        await client.send("GET", client.services)
    answer = await client.send("POST", client.services, json={})
    assert answer.status_code == 429
    assert answer.json()["error"].startswith("TOO_MANY_REQUESTS: this key may send 5 requests in 10 s and has;")
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert 1 <= int(answer.headers["retry-after"]) <= 10
    assert float(answer.headers["x-ratelimit-reset"]) <= int(answer.headers["retry-after"])


async def test_refused_requests_count_and_other_keys_do_not(client: Client) -> None:
    other = await client.with_key(Role.DEVELOPER)
    for _ in range(LIMIT):
        assert (await client.send("GET", f"{client.services}/x")).status_code == 404
    assert (await client.send("GET", client.services)).status_code == 429
    assert (await other.send("GET", client.services)).headers["x-ratelimit-remaining"] == "4"


async def test_who_has_no_key_learns_no_limit_and_uses_up_none(client: Client, nobody: Client) -> None:
    for _ in range(LIMIT):
        answer = await nobody.send("GET", nobody.services)
        assert answer.status_code == 401
        assert "x-ratelimit-limit" not in answer.headers
    assert (await client.send("GET", client.services)).headers["x-ratelimit-remaining"] == "4"


def test_after_ten_seconds_all_requests_are_there_again() -> None:
    clock, key = Clock(), uuid4()
    limits = RateLimits(LIMIT, clock)
    assert not any(found.exceeded for _ in range(LIMIT) if (found := limits.count(key)))
    clock.now += 9.999
    assert (found := limits.count(key))
    assert found.exceeded
    assert found.reset == pytest.approx(0.001)
    clock.now += 0.001
    assert (found := limits.count(key))
    assert (found.exceeded, found.remaining) == (False, 4)


def test_keys_that_ask_no_more_are_forgotten() -> None:
    clock = Clock()
    limits = RateLimits(LIMIT, clock)
    for _ in range(1000):
        limits.count(uuid4())
    assert len(limits) == 1000
    clock.now += 10
    limits.count(uuid4())
    assert len(limits) == 1


def test_failures_wait_longer_each_time_for_a_key_id_and_for_an_address() -> None:
    by_key, by_address = Slowdown(Clock()), Slowdown(Clock())
    expected = [0.0] * FREE_FAILURES + [0.1, 0.2, 0.4, 0.8, 1.6, LONGEST_DELAY, LONGEST_DELAY]
    assert [by_key.delay_of_failure("key", f"10.0.0.{n}") for n in range(12)] == pytest.approx(expected)
    assert [by_address.delay_of_failure(f"key {n}", "10.0.0.1") for n in range(12)] == pytest.approx(expected)


def test_a_whole_network_of_ipv6_counts_as_one_address() -> None:
    slow = Slowdown(Clock())
    delays = [slow.delay_of_failure(f"key {n}", f"2001:db8::{n:x}") for n in range(FREE_FAILURES + 1)]
    assert delays[-1] > 0
    assert slow.delay_of_failure("another", "2001:db8:0:1::1") == 0


def test_a_minute_without_failure_forgets_them() -> None:
    clock = Clock()
    slow = Slowdown(clock)
    assert [slow.delay_of_failure("key", "10.0.0.1") for _ in range(9)][-1] > 0
    clock.now += 61
    assert slow.delay_of_failure("key", "10.0.0.1") == 0


def test_what_is_remembered_of_failures_is_bounded() -> None:
    slow = Slowdown(Clock())
    for n in range(MOST_REMEMBERED):
        slow.delay_of_failure(f"{n}" * 1000, f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
    assert len(slow) == MOST_REMEMBERED


class Held:
    """A sleep that ends when the test says so."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await self.release.wait()


@pytest.fixture
async def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    sleep = Held()
    monkeypatch.setattr(slowdown, "sleep", sleep)
    return sleep


async def test_a_right_secret_does_not_wait_while_wrong_ones_do(client: Client, held: Held) -> None:
    assert client.auth is not None
    key_id, _ = client.auth
    wrong = [
        asyncio.create_task(client.send("GET", client.services, auth=(key_id, f"wrong {n}")))
        for n in range(FREE_FAILURES + 3)
    ]
    done, _ = await asyncio.wait(wrong[:FREE_FAILURES])
    assert {task.result().status_code for task in done} == {401}
    assert (await client.send("GET", client.services)).status_code == 200
    assert not any(task.done() for task in wrong[FREE_FAILURES:])
    held.release.set()
    assert {answer.status_code for answer in await asyncio.gather(*wrong)} == {401}
    assert held.seconds == pytest.approx([0.1, 0.2, 0.4])


async def test_a_key_that_does_not_exist_waits_like_one_that_does(client: Client, held: Held) -> None:
    assert client.auth is not None
    held.release.set()
    waited = []
    for key_id, address in ((client.auth[0], "10.0.0.1"), ("none", "10.0.0.2")):
        slow = Slowdown(Clock())
        for _ in range(FREE_FAILURES + 3):
            await slow.fail(key_id, address)
        waited.append(held.seconds.copy())
        held.seconds.clear()
    assert waited[0] == waited[1] != []


async def test_too_many_that_wait_are_refused_at_once(client: Client, held: Held) -> None:
    wrong = [
        asyncio.create_task(client.send("GET", client.services, auth=("none", "wrong")))
        for _ in range(FREE_FAILURES + MOST_WAITING + 1)
    ]
    (refused,) = [task.result() for task in (await asyncio.wait(wrong[-1:]))[0]]
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == str(round(LONGEST_DELAY))
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert (await client.send("GET", client.services)).status_code == 200
    held.release.set()
    assert {answer.status_code for answer in await asyncio.gather(*wrong)} == {401, 429}
