"""Row 10: what an actor's `ask` costs, beside a bare ping-pong over Trio's channels and pykka."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

import pykka
import trio

from actors.actor import Actor
from bench.figures import Figure
from bench.run import Run

SECONDS = 1.0
QUICK_SECONDS = 0.3
ROUNDS = 5
CHECK_EVERY = 100
"""Round trips between looks at the clock."""


class Echo(Actor[int, int]):
    """Answers what it is asked."""

    async def receive(self, body: int) -> int:
        """The same."""
        return body


class PykkaEcho(pykka.ThreadingActor):
    """Likewise."""

    def on_receive(self, message: int) -> int:
        """The same."""
        return message


async def measure(run: Run) -> None:
    """All three, in turn."""
    seconds = QUICK_SECONDS if run.quick else SECONDS

    async def ask() -> Mapping[Figure, float]:
        return {Figure.ASK: await _ask(seconds)}

    async def channels() -> Mapping[Figure, float]:
        return {Figure.CHANNELS: await _channels(seconds)}

    async def pykka_ask() -> Mapping[Figure, float]:
        return {Figure.PYKKA: await trio.to_thread.run_sync(_pykka_ask, seconds)}

    await run.alternate({"ask": ask, "channels": channels, "pykka": pykka_ask}, ROUNDS)


async def _ask(seconds: float) -> float:
    actor = Echo(mailbox_max=10)
    trips, began = 0, perf_counter()
    async with trio.open_nursery() as nursery:
        await nursery.start(actor.run)
        while perf_counter() - began < seconds:
            for number in range(CHECK_EVERY):
                await actor.ask(number)
            trips += CHECK_EVERY
        took = perf_counter() - began
        nursery.cancel_scope.cancel()
    return trips / took


async def _channels(seconds: float) -> float:
    to_other, others = trio.open_memory_channel[int](0)
    back, answers = trio.open_memory_channel[int](0)

    async def answer() -> None:
        async for number in others:
            await back.send(number)

    trips, began = 0, perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        while perf_counter() - began < seconds:
            for number in range(CHECK_EVERY):
                await to_other.send(number)
                await answers.receive()
            trips += CHECK_EVERY
        took = perf_counter() - began
        nursery.cancel_scope.cancel()
    return trips / took


def _pykka_ask(seconds: float) -> float:
    actor = PykkaEcho.start()
    try:
        trips, began = 0, perf_counter()
        while perf_counter() - began < seconds:
            for number in range(CHECK_EVERY):
                actor.ask(number)
            trips += CHECK_EVERY
        return trips / (perf_counter() - began)
    finally:
        actor.stop()
