"""A worker: the service in one of several processes, that ends when its parent does."""

from __future__ import annotations

import logging
import signal
import socket
from contextlib import suppress
from functools import partial

import trio

from cli.drain import DrainTimes
from cli.process import Drain, freeze, give_up, print_tree_on_signal, run_until_drained
from cli.settings import Settings
from cli.wiring import Running, Worker, open_service
from cli.workers.line import Line, LineClosed
from cli.workers.place import METRICS, READY, Place
from infra.local.interrupts import Interrupted, Interrupts

METRICS_TIMEOUT_S = 5.0
LOG_FORMAT = "%(asctime)s %(levelname)s worker {} %(name)s: %(message)s"


def run(place: Place, settings: Settings, *, database_url: str, redis_url: str) -> int:
    """Exit status 0 after an orderly drain. Who ends a worker at once is its parent: a second signal is nothing."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(logging.Formatter(LOG_FORMAT.format(place.number)))
    with Interrupts(None) as interrupts:
        try:
            return trio.run(partial(_serve, place, settings, database_url, redis_url, interrupts))
        except Interrupted:
            return 0


async def _serve(
    place: Place, settings: Settings, database_url: str, redis_url: str, interrupts: Interrupts
) -> int:
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(socket.socket(fileno=place.line)))
    child = _Child(place, Line(stream))
    drain = Drain(
        interrupts,
        within_s=DrainTimes.within(settings.shutdown_grace_s).process_s,
        give_up=give_up,
        tell=lambda _: None,
    )
    opening = open_service(settings, database_url=database_url, redis_url=redis_url, worker=child.worker)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(child.until_orphaned)
        status = await run_until_drained(opening, drain, (child.announce, child.print_tree))
        nursery.cancel_scope.cancel()
    if status is None:
        raise Interrupted
    return status


class _Child:
    def __init__(self, place: Place, line: Line) -> None:
        self._name = str(place.number)
        self._line = line
        self._running: Running | None = None
        http, grpc = ([socket.socket(fileno=each) for each in part] for part in (place.http, place.grpc))
        self.worker = Worker(self._name, http, grpc, self._metrics_of_all)

    async def until_orphaned(self) -> None:
        await self._line.run(self._answer)
        signal.raise_signal(signal.SIGTERM)

    async def announce(self, running: Running) -> None:
        self._running = running
        await running.wait_listening()
        freeze()
        with suppress(LineClosed):
            await self._line.ask(READY)

    async def print_tree(self, running: Running) -> None:
        await print_tree_on_signal(running, f"worker {self._name}")

    async def _answer(self, _: bytes) -> bytes:
        return self._running.metrics.text() if self._running is not None else b""

    async def _metrics_of_all(self) -> bytes:
        assert self._running is not None
        with trio.move_on_after(METRICS_TIMEOUT_S), suppress(LineClosed):
            return await self._line.ask(METRICS)
        return self._running.metrics.text()
