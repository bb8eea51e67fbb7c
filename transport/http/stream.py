"""One request and its answer, as ASGI has them: what Hypercorn's own stream does, in fewer steps.

That one starts its app through three wrappers, sends an answer's end as two more messages, and tells a log that nobody
reads (docs/decisions/0019).
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import unquote

import trio
from hypercorn.protocol.events import Body, EndBody, Event, StreamClosed

from transport.asgi import App, Headers, Message, Scope
from transport.http.inbox import DISCONNECT, Inbox

log = logging.getLogger(__name__)

WAITING_MAX = 10
"""Messages that wait for an app which does not read."""
INTERNAL_ERROR: Message = {
    "type": "http.response.start",
    "status": HTTPStatus.INTERNAL_SERVER_ERROR,
    "headers": [(b"content-length", b"0"), (b"connection", b"close")],
}


class Line(Protocol):
    """Where an answer goes."""

    async def head(self, status: int, headers: Headers) -> None:
        """Begin it."""

    async def body(self, data: bytes) -> None:
        """Go on with it."""

    async def end(self) -> None:
        """That was all of it."""

    async def over(self) -> None:
        """The app has nothing more to say."""


class HttpStream:
    """Handed the rest of a request by Hypercorn's protocol; `run` is to be started beside it."""

    def __init__(self, app: App, scope: Scope, line: Line) -> None:
        self._app = app
        self._scope = scope
        self._line = line
        self._inbox = Inbox(WAITING_MAX)
        self._begun = self._ended = False

    async def handle(self, event: Event) -> None:
        """Take what has come of the request, or that its client is gone."""
        match event:
            case Body():
                await self._inbox.put({"type": "http.request", "body": bytes(event.data), "more_body": True})
            case EndBody():
                await self._inbox.put({"type": "http.request", "body": b"", "more_body": False})
            case StreamClosed():
                self._ended = True
                await self._inbox.put({"type": DISCONNECT})

    async def run(self) -> None:
        """Have the app answer."""
        try:
            await self._app(self._scope, self._inbox.receive, self._send)
        except Exception:
            log.exception("the HTTP app failed")
        if not self._begun:
            await self._send(INTERNAL_ERROR)
            await self._send({"type": "http.response.body"})
        await self._line.over()

    async def _send(self, message: Message) -> None:
        if self._ended:  # there is nobody to hear it
            await trio.lowlevel.checkpoint()
            return
        if message["type"] == "http.response.start":
            self._begun = True
            await self._line.head(message["status"], message["headers"])
            return
        data = message.get("body", b"")
        if data:
            await self._line.body(data)
        if not message.get("more_body", False):
            self._ended = True
            await self._line.end()


def scope_of(method: bytes, target: bytes, version: bytes, headers: Headers, peers: dict[str, Any]) -> Scope:
    """What an app is told of a request; `peers` are the connection's ends."""
    path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "http_version": version.decode(),
        "asgi": {"spec_version": "2.1", "version": "3.0"},
        "method": method.decode("ascii").upper(),
        "scheme": "http",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        **peers,
    }
