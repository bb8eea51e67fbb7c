"""The gRPC server: listens on one address and nowhere else, serves connections, drains them."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import trio

from transport.admission import AcceptedStream, Admission
from transport.grpc.connection import GrpcConnection
from transport.grpc.limits import GrpcLimits
from transport.grpc.methods import Method
from transport.grpc.pipeline import Pipeline
from transport.listeners import open_listeners


@dataclass(frozen=True, slots=True)
class GrpcStatistics:
    """Connections and calls now, and calls since the start."""

    connections: int
    calls: int
    received: int


class GrpcServer:
    """One supervised child, until stopped."""

    def __init__(
        self,
        methods: Mapping[bytes, Method],
        address: str,
        *,
        pipeline: Pipeline | None = None,
        tls: ssl.SSLContext | None = None,
        limits: GrpcLimits | None = None,
        admission: Admission | None = None,
        shared: Sequence[socket.socket] = (),
    ) -> None:
        self._methods = methods
        self._pipeline = pipeline or Pipeline()
        self._address = address
        self._shared = shared
        self._tls = tls
        self._limits = limits or GrpcLimits()
        self._admission = admission or Admission()
        self._connections: set[GrpcConnection] = set()
        self._calls = 0
        self._received = 0
        self._stop = trio.Event()
        self.port = 0
        self.listening = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, report ready, serve; once stopped, end when the last call has been answered."""
        self._stop = trio.Event()
        listeners: list[Any] = list(await open_listeners(self._address, self._shared))
        self.port = listeners[0].socket.getsockname()[1]
        if self._tls is not None:  # the handshake is part of the first reading, and has its time limit
            listeners = [trio.SSLListener(each, self._tls) for each in listeners]
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                accepting.start_soon(_serve, self._handle, listeners, connections)
                self.listening.set()
                task_status.started()
                await self._stop.wait()
                accepting.cancel_scope.cancel()
            for connection in self._connections:
                connections.start_soon(connection.drain)

    def stop(self) -> None:
        """Close the listeners, say goodbye to every client, finish what is in flight."""
        self._stop.set()

    def statistics(self) -> GrpcStatistics:
        """A snapshot."""
        return GrpcStatistics(len(self._connections), self._calls, self._received)

    async def _handle(self, stream: AcceptedStream) -> None:
        connection = GrpcConnection(stream, self._methods, self._pipeline, self._limits, self._count)
        await self._admission.serve(connection, stream, self._connections)

    def _count(self, change: int) -> None:
        self._calls += change
        if change > 0:
            self._received += change


async def _serve(handler: Any, listeners: list[Any], nursery: trio.Nursery) -> None:
    await trio.serve_listeners(handler, listeners, handler_nursery=nursery)
