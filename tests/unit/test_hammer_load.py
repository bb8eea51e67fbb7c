"""The closed loop on Trio's mock clock, with senders that are functions of the test."""

from __future__ import annotations

import random

import pytest
import trio

from cli.hammer.http_client import HttpFailed
from cli.hammer.load import ANSWER_GRACE_S, Loop
from cli.hammer.plan import Plan
from cli.hammer.tally import OK, Answer, Tally

PLAN = Plan("token", [11, 12, 13, 14], "USD", hot=False)


async def load(send, *, workers: int = 1, seconds: float = 10.0, stop: trio.Event | None = None) -> Tally:
    tally = Tally()
    stop = trio.Event() if stop is None else stop
    loop = Loop(PLAN, tally, stop, random.Random(1), trio.current_time)
    await loop.run([send] * workers, seconds)
    return tally


async def test_each_worker_has_one_transfer_in_flight(autojump_clock):
    async def send(source: int, target: int, number: int) -> Answer:
        assert tally.in_flight <= 3
        await trio.sleep(1)
        return Answer(OK)

    tally = Tally()
    await Loop(PLAN, tally, trio.Event(), random.Random(1), trio.current_time).run([send] * 3, 9.5)
    assert tally.outcomes == {OK: 30}
    assert tally.rate == pytest.approx(3.0)
    assert tally.percentiles_ms([0.5, 1.0]) == pytest.approx([1_000, 1_000], rel=1e-5)


async def test_numbers_are_never_used_twice(autojump_clock):
    numbers: list[int] = []

    async def send(source: int, target: int, number: int) -> Answer:
        numbers.append(number)
        await trio.sleep(1)
        return Answer(OK)

    await load(send, workers=4, seconds=9.5)
    assert sorted(numbers) == list(range(1, 41))


async def test_what_is_in_flight_at_the_end_is_waited_for(autojump_clock):
    async def send(source: int, target: int, number: int) -> Answer:
        await trio.sleep(3)
        return Answer(OK)

    tally = await load(send, workers=2, seconds=4)
    assert tally.outcomes == {OK: 4}
    assert tally.seconds == pytest.approx(6.0)


async def test_what_is_never_answered_is_lost(autojump_clock):
    async def send(source: int, target: int, number: int) -> Answer:
        await trio.sleep_forever()

    tally = await load(send, workers=2, seconds=4)
    assert tally.lost == 2
    assert tally.outcomes == {"transport: no answer when the load had ended": 2}
    assert tally.seconds == pytest.approx(4 + ANSWER_GRACE_S)


async def test_stop_ends_it_early(autojump_clock):
    stop = trio.Event()

    async def send(source: int, target: int, number: int) -> Answer:
        await trio.sleep(1)
        if number == 3:
            stop.set()
        return Answer(OK)

    tally = await load(send, stop=stop, seconds=600)
    assert tally.outcomes == {OK: 3}
    assert tally.seconds == pytest.approx(3.0)


async def test_a_failure_is_counted_and_followed_by_a_pause(autojump_clock):
    async def send(source: int, target: int, number: int) -> Answer:
        raise HttpFailed("gone")

    tally = await load(send, seconds=1)
    assert 19 <= tally.outcomes["transport: gone"] <= 21
    assert tally.lost == tally.outcomes.total()
    assert not tally.latencies_us


async def test_retry_after_is_honoured(autojump_clock):
    async def send(source: int, target: int, number: int) -> Answer:
        return Answer("rate_limited", retry_after_s=0.5)

    tally = await load(send, seconds=3.2)
    assert tally.outcomes == {"rate_limited": 7}
    assert tally.lost == 0
