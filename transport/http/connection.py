"""One HTTP/1.1 connection: Hypercorn keeps the protocol, Trio does the waiting.

Hypercorn's own connection waits for ever for a client that does not read, gives one that sends its request a
byte at a time as long as an idle one, starts a task per request to watch for idleness, and changes to HTTP/2
when asked. Here one deadline bounds reading and another sending, and HTTP/1.1 is all that is spoken.

An answer without a length is a stream: it may last, and its head does not wait for its body.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Callable
from contextlib import suppress

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import parse_socket_addr

from transport.admission import peer_of
from transport.asgi import App
from transport.http.limits import HttpLimits
from transport.http.protocol import Http1

RECEIVE_BYTES = 16 * 1024
HELD_MAX_BYTES = 512 * 1024
"""What a request may hold of us at most: its body, or what of it is not read yet."""
PROBES = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}
"""Seconds of silence before TCP asks, seconds between questions, and how many of them are left unanswered."""


class HttpConnection:
    """Serves one accepted stream until either side ends it."""

    def __init__(
        self,
        stream: trio.SocketStream,
        app: App,
        config: Config,
        context: WorkerContext,
        limits: HttpLimits,
        draining: Callable[[], bool],
    ) -> None:
        self._draining = draining
        self._stream = stream
        self._app = app
        self._config = config
        self._context = context
        self._limits = limits
        self._reading = trio.CancelScope(deadline=trio.current_time() + limits.keep_alive_s)
        self._life = trio.CancelScope()
        self._over = False
        self._sending = False
        self._received = 0
        self.holds: Callable[[int], None] = lambda _: None
        self.peer = peer_of(stream)
        self.is_idle = True
        self.active_at = trio.current_time()

    async def run(self) -> None:
        """Serve."""
        try:
            with self._life:
                await self._serve()
        except OSError:  # it was gone before it had a name
            return
        finally:
            await trio.aclose_forcefully(self._stream)

    def end_when_idle(self) -> None:
        """Finish what is being answered; of one that is idle, a request may be on its way for a moment yet."""
        if self.is_idle:
            self._reading.deadline = trio.current_time() + self._limits.last_request_s

    def end(self) -> None:
        """End at once."""
        self._life.cancel()

    async def _serve(self) -> None:
        ours, config, context = self._stream.socket, self._config, self._context
        peers = {
            "client": parse_socket_addr(ours.family, ours.getpeername()),
            "server": parse_socket_addr(ours.family, ours.getsockname()),
        }
        async with trio.open_nursery() as nursery:
            self._protocol = Http1(
                self._app,
                config,
                context,
                nursery,
                peers,
                self._send,
                self._limits,
                stream_began=self._stream_began,
                draining=self._draining,
            )
            await self._read_all()
            await self._protocol.handle(Closed())

    async def _read_all(self) -> None:
        with self._reading:
            await self._read()
        if self._reading.cancelled_caught and not self._over and not self.is_idle:
            self._reading = trio.CancelScope()
            await self._protocol.time_out()
            if self._over:
                with self._reading:
                    await self._read()

    async def _read(self) -> None:
        while True:
            try:
                await trio.lowlevel.wait_readable(self._stream.socket)
                data = os.read(self._stream.socket.fileno(), RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError):
                return
            if self._over and data:
                continue
            self._begin()
            self._received = min(self._received + len(data), HELD_MAX_BYTES)
            self.holds(self._received)
            await self._protocol.handle(RawData(data))
            if not data:
                return

    async def _send(self, event: Event) -> None:
        match event:
            case RawData():
                if not await self._sent(event.data):
                    self._reading.cancel()  # what else it has asked for is of no use to it
                    await trio.aclose_forcefully(self._stream)
                    await self._protocol.handle(Closed())
            case Closed():
                await self._hang_up()
                await self._protocol.handle(Closed())
            case Updated(idle=True):
                self.is_idle = True
                self.active_at = trio.current_time()
                self._received = 0
                self.holds(0)
                self._reading.deadline = self.active_at + self._limits.keep_alive_s
            case Updated(idle=False):
                self._begin()

    def _begin(self) -> None:
        if self.is_idle:
            self.is_idle = False
            self.active_at = trio.current_time()
            self._reading.deadline = self.active_at + self._limits.request_s

    def _stream_began(self) -> None:
        # Whether a client that has nothing more to say is still there is now for TCP to find out.
        self._reading.deadline = math.inf
        self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in PROBES.items():
            self._stream.setsockopt(socket.IPPROTO_TCP, option, value)

    async def _sent(self, data: bytes) -> bool:
        if not self._sending:
            data = self._sent_at_once(data)
        if not data:
            return True
        self.holds(self._received + len(data))
        self._sending = True
        with trio.move_on_after(self._limits.send_s):
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._stream.send_all(data)
                self.holds(self._received)
                self._sending = False
                return True
        return False

    def _sent_at_once(self, data: bytes) -> bytes:
        """What is left of it: mostly there is room for all, and nothing to wait for. Failures are for who waits."""
        try:
            return data[os.write(self._stream.socket.fileno(), data) :]
        except OSError:
            return data

    async def _hang_up(self) -> None:
        # What still comes is discarded: to close with it unread would turn our closing into a reset, which
        # would overtake our answer. Shielded, for what ends a request also cancels the task that we are in.
        if self._over:
            return
        self._over = True
        self._reading.deadline = trio.current_time() + self._limits.linger_s
        with trio.CancelScope(shield=True), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._stream.send_eof()
