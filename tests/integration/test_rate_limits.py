"""Counting on a real Redis: together while it is there, each for itself while it is away, until a window ends."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import redis as plain_redis
import trio

from persistence import rate_limits
from persistence.rate_limits import ALONE_S, Limit, RateLimits, Try
from persistence.redis import open_redis

LIMIT = Limit("test", tries=3, period_s=60)
SHORT = Limit("short", tries=3, period_s=1)
ALICE, BOB = Try(LIMIT, "alice"), Try(LIMIT, "bob")
WINDOW_ENDS_WITHIN_S = 10


class Clock:
    def __init__(self) -> None:
        self.time_s = 1_000.0

    def __call__(self) -> float:
        return self.time_s


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """A slow machine is no Redis that is away."""
    monkeypatch.setattr(rate_limits, "TIMEOUT_S", 20.0)


@asynccontextmanager
async def two(url: str, clock: Clock):
    """Instances as two processes have them, that share nothing but Redis."""
    async with open_redis(url) as redis:
        yield RateLimits(redis, now=clock), RateLimits(redis, now=clock)


async def stands(limits: RateLimits, *tries: Try) -> list[int]:
    return [count.tries for count in await limits.count(tries)]


async def test_instances_count_together(redis_url):
    async with two(redis_url, Clock()) as (one, other):
        assert await stands(one, ALICE, BOB) == [1, 1]
        assert await stands(other, ALICE) == [2]
        await one.take_back([ALICE])
        assert await stands(one, ALICE) == [2]
        await other.forget([ALICE])
        assert await stands(one, ALICE, BOB) == [1, 2]


async def test_many_tries_at_once_are_all_counted(redis_url):
    async with two(redis_url, Clock()) as instances:
        async with trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(instances[number % 2].count, [ALICE])
        assert await stands(instances[0], ALICE) == [61]


async def test_a_window_begins_with_its_first_try_and_is_not_prolonged(redis_url):
    with plain_redis.Redis.from_url(redis_url) as client:
        async with open_redis(redis_url) as redis:
            limits = RateLimits(redis)
            (first,) = await limits.count([ALICE])
            assert 0 < first.ends_in_s <= LIMIT.period_s
            client.expire(ALICE.key, 30)
            (second,) = await limits.count([ALICE])
            await limits.take_back([ALICE])
            assert second.ends_in_s <= 30
            assert 0 < client.ttl(ALICE.key) <= 30


async def test_a_window_ends(redis_url):
    async with open_redis(redis_url) as redis:
        limits = RateLimits(redis)
        short = Try(SHORT, "alice")
        for _ in range(SHORT.tries):
            (count,) = await limits.count([short])
        with trio.fail_after(WINDOW_ENDS_WITHIN_S):
            while count.tries > 1:
                await trio.sleep(0.1)
                (count,) = await limits.count([short])
        assert count.ends_in_s <= SHORT.period_s


@pytest.mark.parametrize("away", [False, True])
async def test_what_is_taken_back_after_its_window_gives_no_more_tries_than_there_are(
    redis_url, tmp_path, away
):
    clock = Clock()
    async with open_redis(f"unix://{tmp_path}/nowhere.sock" if away else redis_url) as redis:
        limits = RateLimits(redis, now=clock)
        await limits.count([ALICE, BOB, ALICE])
        await limits.forget([ALICE])
        await limits.take_back([ALICE, BOB, ALICE])
        assert await stands(limits, ALICE, BOB) == [1, 1]


async def test_without_redis_each_counts_for_itself_until_the_window_ends(tmp_path):
    clock, nowhere = Clock(), f"unix://{tmp_path}/nowhere.sock"
    async with two(nowhere, clock) as (one, other):
        assert [await stands(one, ALICE) for _ in range(3)] == [[1], [2], [3]]
        assert await stands(other, ALICE) == [1]
        clock.time_s += LIMIT.period_s - 1
        (count,) = await one.count([ALICE])
        assert (count.tries, count.ends_in_s) == (4, 1)
        clock.time_s += 1
        (count,) = await one.count([ALICE])
        assert (count.tries, count.ends_in_s) == (1, LIMIT.period_s)


async def test_a_redis_that_is_away_is_not_asked_for_a_while_and_then_again(redis_url, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(rate_limits, "TIMEOUT_S", 0.0)
    with plain_redis.Redis.from_url(redis_url) as client:
        async with open_redis(redis_url) as redis:
            limits = RateLimits(redis, now=clock)
            assert await stands(limits, ALICE) == [1]
            monkeypatch.setattr(rate_limits, "TIMEOUT_S", 20.0)
            client.set(ALICE.key, 40, ex=60)
            clock.time_s += ALONE_S - 0.1
            assert await stands(limits, ALICE) == [2]
            clock.time_s += 0.1
            assert await stands(limits, ALICE) == [41]


async def test_memory_is_bounded_and_forgets_who_tried_longest_ago(tmp_path, monkeypatch):
    monkeypatch.setattr(rate_limits, "SUBJECTS_MAX", 100)
    async with open_redis(f"unix://{tmp_path}/nowhere.sock") as redis:
        limits = RateLimits(redis, now=Clock())
        await limits.count([ALICE, BOB])
        for number in range(98):
            await limits.count([Try(LIMIT, f"subject {number}")])
        assert await stands(limits, ALICE) == [2]
        for number in range(99):
            await limits.count([Try(LIMIT, f"other {number}")])
        assert len(limits._windows) == 100
        assert await stands(limits, ALICE, BOB) == [3, 1]


async def test_names_and_addresses_are_not_stored(redis_url):
    async with open_redis(redis_url) as redis:
        await RateLimits(redis).count([ALICE, Try(LIMIT, "\ud800")])
    with plain_redis.Redis.from_url(redis_url) as client:
        keys = client.keys("*")
    assert len(keys) == 2
    assert all(key.startswith(b"limit:test:") and b"alice" not in key for key in keys)
