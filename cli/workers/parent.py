"""The parent of a service's workers: binds both ports, starts a process for each worker, and again when it dies.

It serves nobody itself and holds nothing but the ports and the lines to its workers, so that there is little it could
die of.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from signal import Signals

import trio
from trio.socket import SocketType

from actors.restarts import Backoff
from actors.supervisor import ChildSpec, Restart, Supervisor
from cli.settings import Settings
from cli.wiring import listening_on
from cli.workers.process import WorkerProcess
from infra.local.process import kill_all
from transport.listeners import open_listeners
from transport.metrics import Metrics, merged

SUPERVISOR = "supervisor"
"""Whose numbers the parent's are, where those of a worker have its number."""


class Parent:
    """To be run while it is `listening`."""

    listen_s = 0.0
    """Its workers have time of their own for it."""

    def __init__(self, settings: Settings, *, database_url: str, redis_url: str) -> None:
        self.http: list[SocketType] = []
        self.grpc: list[SocketType] = []
        self._settings = settings
        self.failed = 0
        """The exit status of a worker that could not be started at first, which has said why."""
        self._workers = [
            WorkerProcess(
                number,
                http=self.http,
                grpc=self.grpc,
                environment={**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url},
                answer=self._answer,
                failed=self._give_up,
            )
            for number in range(1, settings.workers + 1)
        ]
        self.root = Supervisor("workers", list(map(self._spec, self._workers)), backoff=Backoff())
        self._metrics = Metrics(self.root.statistics, worker=SUPERVISOR)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Parent]:
        """Both ports are bound for the block, or until the drain is announced. Raises StartFailed."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            for sockets, variable, address in (
                (self.http, "HTTP_SERVER_ADDRESS", settings.http_server_address),
                (self.grpc, "GRPC_SERVER_ADDRESS", settings.grpc_server_address),
            ):
                with listening_on(variable, address):
                    listeners = await open_listeners(address)
                for each in listeners:
                    await stack.enter_async_context(each)
                    sockets.append(each.socket)
            yield self

    async def run(self) -> int:
        """Until all have drained, or one has failed: 0 when all of them ended in order."""
        await self.root.run()
        return 1 if any(worker.ended_badly for worker in self._workers) else self.failed

    async def wait_ready(self) -> None:
        """Until every worker has taken work."""
        for worker in self._workers:
            await worker.was_ready.wait()

    def announce_drain(self) -> None:
        """Workers drain, and the ports are theirs alone: the last to close one answers who waits in its queue."""
        for each in (*self.http, *self.grpc):
            each.close()
        self._terminate_all()

    def forward(self, number: Signals) -> None:
        """Send a signal to those who are ready for one."""
        for worker in self._workers:
            if worker.takes_work:
                worker.signal(number)

    def kill(self) -> None:
        """End all of them at once; safe in a signal handler and in another thread."""
        kill_all([worker.statistics().pid for worker in self._workers if worker.alive])

    def _spec(self, worker: WorkerProcess) -> ChildSpec:
        return ChildSpec(
            f"worker {worker.number}",
            worker.run,
            restart=Restart.TRANSIENT,
            stop=self._terminate_all,
            shutdown_s=self._settings.shutdown_grace_s,
            statistics=worker.statistics,
        )

    def _terminate_all(self) -> None:
        for worker in self._workers:
            worker.terminate()

    def _give_up(self, status: int) -> None:
        self.failed = status
        self.root.stop()

    async def _answer(self, _: bytes) -> bytes:
        texts = {0: self._metrics.text()}

        async def collect(worker: WorkerProcess) -> None:
            texts[worker.number] = await worker.metrics()

        async with trio.open_nursery() as nursery:
            for worker in self._workers:
                nursery.start_soon(collect, worker)
        return merged(texts[number] for number in sorted(texts))
