"""The closed loop: N workers, each sending its next transfer when the last was answered."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from itertools import count
from time import perf_counter

import trio

from cli.hammer.http_client import HttpFailed
from cli.hammer.plan import Plan
from cli.hammer.senders import METHOD, Send, encode_transfer, grpc_senders, http_senders
from cli.hammer.tally import Tally
from transport.client.failures import NoAnswer

__all__ = ["METHOD", "Loop", "Plan", "Tally", "encode_transfer", "run_load"]

CALLS_PER_CHANNEL = 100
ANSWER_GRACE_S = 5.0
"""How long answers to what is in flight are waited for when the load has ended."""
FAILURE_PAUSE_S = 0.05
RETRY_AFTER_MAX_S = 1.0


async def run_load(
    plan: Plan,
    *,
    protocol: str,
    host: str,
    port: int,
    connections: int,
    seconds: float,
    tally: Tally,
    channels: int | None = None,
    stop: trio.Event | None = None,
    rng: random.Random | None = None,
) -> None:
    """Hammer for some seconds, or until `stop`; `tally` may be watched meanwhile.

    What is in flight at the end is waited for, ANSWER_GRACE_S at most. `connections` are calls in flight for
    gRPC, on so many `channels` (default: one for every CALLS_PER_CHANNEL). Raises OSError (HTTP)
    or NoAnswer (gRPC) when nobody listens.
    """
    async with _senders(protocol, plan, host, port, connections, channels) as sends:
        stop = trio.Event() if stop is None else stop
        await Loop(plan, tally, stop, rng or random.Random(), perf_counter).run(sends, seconds)


def _senders(
    protocol: str, plan: Plan, host: str, port: int, connections: int, channels: int | None
) -> AbstractAsyncContextManager[list[Send]]:
    if protocol == "http":
        return http_senders(plan, host, port, connections)
    return grpc_senders(plan, host, port, connections, channels or -(-connections // CALLS_PER_CHANNEL))


class Loop:
    """One load; `clock` gives seconds and need not be Trio's."""

    def __init__(
        self, plan: Plan, tally: Tally, stop: trio.Event, rng: random.Random, clock: Callable[[], float]
    ) -> None:
        self._plan = plan
        self._tally = tally
        self._stop = stop
        self._rng = rng
        self._clock = clock
        self._numbers = count(1)
        self._began = clock()

    async def run(self, sends: list[Send], seconds: float) -> None:
        """One worker for each sender."""
        tally = self._tally
        try:
            with trio.CancelScope() as late:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._end, seconds, late)
                    async with trio.open_nursery() as workers:
                        for send in sends:
                            workers.start_soon(self._work, send)
                    nursery.cancel_scope.cancel()
        finally:
            tally.seconds = self._clock() - self._began
            if tally.in_flight:
                tally.record_failure("no answer when the load had ended", tally.in_flight)
                tally.in_flight = 0

    async def _end(self, seconds: float, late: trio.CancelScope) -> None:
        with trio.move_on_after(seconds):
            await self._stop.wait()
        self._stop.set()
        late.deadline = trio.current_time() + ANSWER_GRACE_S

    async def _work(self, send: Send) -> None:
        plan, tally, clock, stop = self._plan, self._tally, self._clock, self._stop
        while not stop.is_set():
            source, target = plan.pair(self._rng)
            tally.in_flight += 1
            sent = clock()
            try:
                answer = await send(source, target, next(self._numbers))
            except (HttpFailed, NoAnswer) as failure:
                tally.in_flight -= 1
                tally.record_failure(str(failure))
                await self._pause(FAILURE_PAUSE_S)
                continue
            now = clock()
            tally.in_flight -= 1
            tally.record(answer, now - sent)
            tally.seconds = now - self._began
            if answer.retry_after_s:
                await self._pause(min(answer.retry_after_s, RETRY_AFTER_MAX_S))

    async def _pause(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._stop.wait()
