"""Hypercorn's HTTP/1.1, made strict: what it takes, and what it says where no app has a say."""

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
from transport.http.heads import StrictConnection, path_of
from transport.http.hygiene import own_first
from transport.http.limits import HttpLimits
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
        self.connection: h11.Connection = StrictConnection(limits.head_max_bytes, limits.headers_max)
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
        headers = [(name, value) for name, value in request.headers if name != b"upgrade"]
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
            headers.append((b"connection", b"close"))
        await self._send_h11_event(h11.Response(status_code=status, headers=headers))

    async def body(self, data: bytes) -> None:
        """Go on with it."""
        await self._send_h11_event(h11.Data(data=data))

    async def end(self) -> None:
        """That was all of it."""
        await self._send_h11_event(h11.EndOfMessage())

    async def over(self) -> None:
        """Take the next request."""
        await self._maybe_recycle()

    async def _send_error_response(self, status_code: int) -> None:
        request_id, status = new_request_id(), HTTPStatus(status_code)
        log.info("request %s is refused: status %d", request_id, status)
        body = document(status, own_code(status), status.description or status.phrase, request_id=request_id)
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=status, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())

    async def _send_h11_event(self, event: Any) -> None:
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
            self._stream_began()
            data = b""
        data, self._head = self._head + data, b""
        if data:
            await self.send(RawData(data))


def _has_length(response: h11.Response) -> bool:
    return response.status_code in (204, 304) or any(name == b"content-length" for name, _ in response.headers)
