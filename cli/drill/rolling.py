"""A rolling replacement: two services behind one address, and one after the other is ended and started again."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count

import trio

from cli.drill.installation import Service
from cli.drill.judge import Verdict
from cli.drill.proxy import open_proxy
from cli.drill.stage import Stage, none_failed

READY_EVERY_S = 0.05
TRANSFER_S = 5.0


class Balancer:
    """Knows who is ready, as anything that asks /readyz does, and takes turns among those."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._ready = list(services)
        self._turn = count()

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            self._ready = [each for each in self._services if await each.readyz() == 200]
            await trio.sleep(READY_EVERY_S)

    async def open_http(self) -> trio.SocketStream:
        """A line to one of them. Raises OSError where nobody is ready, or who was is not there."""
        return await trio.open_tcp_stream("127.0.0.1", self._next().http_port)

    async def open_grpc(self) -> trio.SocketStream:
        """Likewise."""
        return await trio.open_tcp_stream("127.0.0.1", self._next().grpc_port)

    def _next(self) -> Service:
        if not self._ready:
            raise OSError("nobody is ready")
        return self._ready[next(self._turn) % len(self._ready)]


async def rolling(stage: Stage) -> list[Verdict]:
    """Both in turn, under load; nobody who asks learns of it."""
    services = [stage.service, await stage.joined()]
    attempts = stage.load.history.attempts
    before = len(attempts)
    async with behind_one_address(stage, services), stage.under_load():
        await trio.sleep(stage.seconds / 4)
        for service in services:
            stage.probe.mark("SIGTERM")
            service.signal(signal.SIGTERM)
            await stage.ended(service)
            await service.start()
            await service.wait_ready()
            stage.probe.mark("the successor is ready")
            await trio.sleep(stage.seconds / 4)
    services[1].signal(signal.SIGTERM)
    await stage.ended(services[1])
    return [none_failed(attempts[before:], "services that are replaced one by one", TRANSFER_S)]


@asynccontextmanager
async def behind_one_address(stage: Stage, services: Sequence[Service]) -> AsyncIterator[None]:
    """The load asks whichever of them is ready, in turn, for the block."""
    balancer, addresses = Balancer(services), stage.load.addresses
    async with (
        open_proxy(balancer.open_http) as http,
        open_proxy(balancer.open_grpc) as grpc,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(balancer.watch)
        stage.load.addresses = [(http.port, grpc.port)]
        yield
        stage.load.addresses = addresses
        nursery.cancel_scope.cancel()
