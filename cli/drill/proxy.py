"""A TCP proxy that does to a line what networks do: delay, silence, resets, an answer that never arrives.

It may also listen for COMMIT on its way to PostgreSQL, and cut the line before the server hears it, or after it has
answered and before the client hears that.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum

import trio

RECEIVE_BYTES = 64 * 1024
_COMMIT = re.compile(rb"\bcommit\b", re.IGNORECASE)
_LINGER_NOT = struct.pack("ii", 1, 0)


class Link(Enum):
    """Where a proxy may stand: between services and a server of theirs, or between clients and the services."""

    POSTGRES = "PostgreSQL"
    REDIS = "Redis"
    CLIENTS = "the clients"


class Cut(Enum):
    """Where a line is cut at a COMMIT."""

    BEFORE = "the server never heard it"
    AFTER = "the client never heard the answer"


class Proxy:
    """What it does now is in its attributes, which may be changed at any time."""

    def __init__(self, open_upstream: Callable[[], Awaitable[trio.SocketStream]]) -> None:
        self._open_upstream = open_upstream
        self.port = 0
        self.delay_s = 0.0
        self.silent = False
        """Nothing is passed on, in either direction, and nobody is told."""
        self.refusing = False
        """Whoever comes is hung up on."""
        self.cuts: list[Cut] = []
        """One is used up at each COMMIT that passes."""
        self.made: list[Cut] = []
        self._lines: set[tuple[trio.SocketStream, trio.SocketStream]] = set()

    def reset_all(self) -> None:
        """Every line ends with a reset, on both sides."""
        lines, self._lines = self._lines, set()
        for line in lines:
            for stream in line:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
                trio.lowlevel.notify_closing(stream.socket)
                stream.socket.close()

    async def handle(self, client: trio.SocketStream) -> None:
        """One line."""
        if self.refusing:
            return
        try:
            upstream = await self._open_upstream()
        except OSError:
            return
        line = client, upstream
        self._lines.add(line)
        cutting: list[Cut] = []
        try:
            async with upstream, trio.open_nursery() as nursery:
                nursery.start_soon(self._pass, client, upstream, cutting, True, nursery.cancel_scope)
                nursery.start_soon(self._pass, upstream, client, cutting, False, nursery.cancel_scope)
        finally:
            self._lines.discard(line)

    async def _pass(
        self,
        source: trio.SocketStream,
        target: trio.SocketStream,
        cutting: list[Cut],
        to_server: bool,
        line: trio.CancelScope,
    ) -> None:
        try:
            while data := await source.receive_some(RECEIVE_BYTES):
                if to_server and self.cuts and _COMMIT.search(data):
                    cutting.append(self.cuts.pop())
                    self.made.append(cutting[0])
                if cutting == [Cut.BEFORE] or (cutting and not to_server):
                    break
                await trio.sleep(self.delay_s)
                while self.silent:
                    await trio.sleep(0.01)
                await target.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        line.cancel()


@asynccontextmanager
async def open_proxy(open_upstream: Callable[[], Awaitable[trio.SocketStream]]) -> AsyncIterator[Proxy]:
    """On a port of this machine, for the block."""
    proxy = Proxy(open_upstream)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    proxy.port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, proxy.handle, listeners)
        yield proxy
        nursery.cancel_scope.cancel()
