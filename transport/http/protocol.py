"""Hypercorn's HTTP/1.1 on llhttp: one request at a time, and what it says where no app has a say."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from transport.asgi import App, Headers
from transport.http.hygiene import own_first
from transport.http.limits import HttpLimits
from transport.http.llhttp import CLOSE, LlhttpConnection, path_of
from transport.http.problems import document, own_code
from transport.http.stream import HttpStream, scope_of
from transport.request_id import new_request_id

log = logging.getLogger(__name__)


class Http1(H11Protocol):
    """Takes no offer to speak anything else: RFC 9110 7.8 lets a server ignore an upgrade.

    The head of an answer is sent together with what follows it; that of a stream at once, and `stream_began` is told.
    Once the server is `draining`, each answer says that it is the connection's last: a client that is told goes
    elsewhere, while one whose connection just ends may have sent a request that nobody reads.
    """

    def __init__(
        self,
        app: App,
        config: Config,
        context: WorkerContext,
        nursery: trio.Nursery,
        peers: dict[str, Any],
        send: Callable[[Event], Awaitable[None]],
        limits: HttpLimits,
        *,
        stream_began: Callable[[], None],
        draining: Callable[[], bool],
    ) -> None:
        super().__init__(app, config, context, nursery, ConnectionState({}), False, None, None, send)  # type: ignore[arg-type]
        self.connection: LlhttpConnection = LlhttpConnection(limits.head_max_bytes, limits.headers_max)  # type: ignore[assignment]
        self._asgi_app = app
        self._nursery = nursery
        self._peers = peers
        self._stream_began = stream_began
        self._draining = draining
        self._head = b""

    async def time_out(self) -> None:
        """Tell a client whose request did not come in time, unless it is being answered."""
        if self.stream is None and self.connection.our_state is h11.IDLE:
            await self._send_error_response(HTTPStatus.REQUEST_TIMEOUT)
            await self.send(Closed())

    async def _check_protocol(self, event: h11.Request) -> None:
        return

    async def _create_stream(self, request: h11.Request) -> None:
        headers = [each for each in request.headers.raw_items() if each[0] != b"upgrade"]
        scope = scope_of(request.method, path_of(request.target), request.http_version, headers, self._peers)
        stream = HttpStream(self._asgi_app, scope, self)
        self.stream = stream  # type: ignore[assignment]
        self._nursery.start_soon(stream.run)

    # An answer, as a stream gives it

    async def head(self, status: int, headers: Headers) -> None:
        """Begin it."""
        headers = own_first([*headers, *self.config.response_headers("h11")])
        # Where the rest of the request is not waited for, nothing can follow it here.
        if self.connection.their_state is h11.SEND_BODY or self._draining():
            headers.append(CLOSE)
        self._head = self.connection.head(status, headers)
        if not self.connection.has_length:
            self._stream_began()
            await self._flush(b"")

    async def body(self, data: bytes) -> None:
        """Go on with it."""
        await self._flush(self.connection.body(data))

    async def end(self) -> None:
        """That was all of it."""
        await self._flush(self.connection.end())

    async def over(self) -> None:
        """Take the next request."""
        await self._maybe_recycle()

    async def _flush(self, data: bytes) -> None:
        data, self._head = self._head + data, b""
        if data:
            await self.send(RawData(data))

    async def _send_error_response(self, status_code: int) -> None:
        request_id, status = new_request_id(), HTTPStatus(status_code)
        log.info("request %s is refused: status %d", request_id, status)
        body = document(status, own_code(status), status.description or status.phrase, request_id=request_id)
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            CLOSE,
            *self.config.response_headers("h11"),
        ]
        connection = self.connection
        await self._flush(connection.head(status, headers) + connection.body(body) + connection.end())

    async def _send_h11_event(self, event: Any) -> None:
        assert isinstance(event, h11.InformationalResponse), "answers are not given as events"
        await self.send(RawData(self.connection.go_on(self.config.response_headers("h11"))))
