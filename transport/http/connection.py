"""One HTTP/1.1 connection: Hypercorn keeps the protocol, Trio does the waiting.

Hypercorn's own connection waits for ever for a client that does not read, gives one that sends its request a
byte at a time as long as an idle one, starts a task per request to watch for idleness, and changes to HTTP/2
when asked. Here one deadline bounds reading and another sending, and HTTP/1.1 is all that is spoken.

An answer without a length is a stream: it may last, and its head does not wait for its body.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import parse_socket_addr

from transport.http.hygiene import own_first
from transport.http.inbox import Tasks

RECEIVE_BYTES = 16 * 1024
PROBES = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}
"""Seconds of silence before TCP asks, seconds between questions, and how many of them are left unanswered."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of a connection. A request must be answered within `request_s` of its first byte, or a stream begun.

    After our last word `linger_s` is given to the client to hear it.
    """

    keep_alive_s: float = 75.0
    request_s: float = 30.0
    send_s: float = 30.0
    linger_s: float = 1.0
    head_max_bytes: int = 32 * 1024
    headers_max: int = 100
    body_max_bytes: int = 64 * 1024
    body_s: float = 15.0
    connections_max: int = 2_000


class _Http1(H11Protocol):
    """Takes no offer to speak anything else: RFC 9110 7.8 lets a server ignore an upgrade.

    The head of an answer is sent together with what follows it; that of a stream at once, and `stream_began` is told.
    Once the server is `draining`, each answer says that it is the connection's last: a client that is told goes
    elsewhere, while one whose connection just ends may have sent a request that nobody reads.
    """

    limits: HttpLimits
    stream_began: Callable[[], None]
    draining: Callable[[], bool]
    _head = b""

    async def _check_protocol(self, event: h11.Request) -> None:
        return

    async def _create_stream(self, request: h11.Request) -> None:
        if (
            len(request.headers) > self.limits.headers_max
            or sum(len(name) + len(value) for name, value in request.headers) > self.limits.head_max_bytes
        ):
            await self._send_error_response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            await self.send(Closed())
            return
        headers = [(name, value) for name, value in request.headers if name != b"upgrade"]
        if len(headers) != len(request.headers):
            request = h11.Request(
                method=request.method, target=request.target, headers=headers, http_version=request.http_version
            )
        await super()._create_stream(request)

    async def _send_h11_event(self, event: Any) -> None:
        if isinstance(event, h11.Response):
            event = self._completed(event)
        try:
            data = self.connection.send(event) or b""
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
            return
        if isinstance(event, h11.Response):
            self._head = data
            if _has_length(event):
                return
            self.stream_began()
            data = b""
        data, self._head = self._head + data, b""
        if data:
            await self.send(RawData(data))

    def _completed(self, response: h11.Response) -> h11.Response:
        headers = own_first(response.headers.raw_items())
        # Where the rest of the request is not waited for, nothing can follow it here.
        if self.connection.their_state is h11.SEND_BODY or self.draining():
            headers.append((b"connection", b"close"))
        if len(headers) == len(response.headers):
            return response
        return h11.Response(status_code=response.status_code, headers=headers)


class HttpConnection:
    """Serves one accepted stream until either side ends it."""

    def __init__(
        self,
        stream: trio.SocketStream,
        app: AppWrapper,
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
        self._over = False
        self.is_idle = True
        self.active_at = trio.current_time()

    async def run(self) -> None:
        """Serve."""
        ours = self._stream.socket
        try:
            client = parse_socket_addr(ours.family, ours.getpeername())
            server = parse_socket_addr(ours.family, ours.getsockname())
            async with Tasks() as group:
                self._protocol = _Http1(
                    self._app,
                    self._config,
                    self._context,
                    group,
                    ConnectionState({}),
                    False,
                    client,
                    server,
                    self._send,
                )
                self._protocol.limits = self._limits
                self._protocol.stream_began = self._stream_began
                self._protocol.draining = self._draining
                with self._reading:
                    await self._read()
                await self._protocol.handle(Closed())
        except OSError:  # it was gone before it had a name
            return
        finally:
            await trio.aclose_forcefully(self._stream)

    def end(self) -> None:
        """Read no more: an idle connection ends at once."""
        self._reading.cancel()

    async def _read(self) -> None:
        while True:
            try:
                data = await self._stream.receive_some(RECEIVE_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            if self._over and data:
                continue
            self._begin()
            await self._protocol.handle(RawData(bytes(data)))
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
                self._reading.deadline = self.active_at + self._limits.keep_alive_s
            case Updated(idle=False):
                self._begin()

    def _begin(self) -> None:
        if self.is_idle:
            self.is_idle = False
            self._reading.deadline = trio.current_time() + self._limits.request_s

    def _stream_began(self) -> None:
        # Whether a client that has nothing more to say is still there is now for TCP to find out.
        self._reading.deadline = math.inf
        self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in PROBES.items():
            self._stream.setsockopt(socket.IPPROTO_TCP, option, value)

    async def _sent(self, data: bytes) -> bool:
        with trio.move_on_after(self._limits.send_s):
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._stream.send_all(data)
                return True
        return False

    async def _hang_up(self) -> None:
        # What still comes is discarded: to close with it unread would turn our closing into a reset, which
        # would overtake our answer. Shielded, for what ends a request also cancels the task that we are in.
        if self._over:
            return
        self._over = True
        self._reading.deadline = trio.current_time() + self._limits.linger_s
        with trio.CancelScope(shield=True), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._stream.send_eof()


def _has_length(response: h11.Response) -> bool:
    return response.status_code in (204, 304) or any(name == b"content-length" for name, _ in response.headers)
