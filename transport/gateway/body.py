"""What comes with a request: its body as it arrives, and the news that its client is gone."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import trio

from domain.errors import InvalidArgument
from transport.asgi import Receive
from transport.gateway.splitter import Splitter
from transport.gateway.status import HttpFailed
from transport.grpc.call import Call

HELD_MAX_BYTES = 64 * 1024
"""What has come and is not used; beyond it nothing more is read from the client."""


class Body:
    """Read by `run`, used by the call's one task, which the call's bell wakes."""

    def __init__(self, receive: Receive, call: Call, message_max_bytes: int) -> None:
        self._receive = receive
        self._call = call
        self.message_max_bytes = message_max_bytes
        self._held = bytearray()
        self._room = trio.lowlevel.ParkingLot()
        self.complete = False
        self.client_gone = False

    async def run(self) -> None:
        """Read for as long as there is a client, and cancel its call then."""
        while True:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                self.client_gone = True
                self._call.scope.cancel()
                return
            self._held += event.get("body", b"")
            self.complete = not event.get("more_body", False)
            self._call.bell.ring()
            while len(self._held) > HELD_MAX_BYTES:
                await self._room.park()

    def take(self) -> bytes:
        """What has come since the last time."""
        taken, self._held = bytes(self._held), bytearray()
        self._room.unpark_all()
        return taken

    async def whole(self) -> bytes:
        """All of it; raises HttpFailed when that is too much."""
        length = self._call.raw_header(b"content-length") or b"0"
        raw = bytearray()
        while True:
            raw += self.take()
            if max(len(raw), int(length)) > self.message_max_bytes:
                raise HttpFailed(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the body may have {self.message_max_bytes} bytes at most",
                )
            if self.complete:
                return bytes(raw)
            await self._call.bell.wait()


class Streamed:
    """The messages of a body that has several (`Incoming`)."""

    def __init__(self, body: Body, parse: Callable[[bytes], Any]) -> None:
        self._body = body
        self._parse = parse
        self._splitter = Splitter(body.message_max_bytes)

    def receive_nowait(self) -> Any:
        """The next message; raises trio.WouldBlock, and trio.EndOfChannel after the last."""
        raw = self._splitter.next()
        if raw is None:
            self._splitter.feed(self._body.take())
            raw = self._splitter.next()
        if raw is not None:
            return self._parse(raw)
        if not self._body.complete:
            raise trio.WouldBlock
        if not self._splitter.is_empty:
            raise InvalidArgument("the last message is not whole")
        raise trio.EndOfChannel


class Single:
    """The one message of a call whose client sends one (`Incoming`)."""

    def __init__(self, message: Any) -> None:
        self._messages = [message]

    def receive_nowait(self) -> Any:
        """It, and then trio.EndOfChannel."""
        if not self._messages:
            raise trio.EndOfChannel
        return self._messages.pop()
