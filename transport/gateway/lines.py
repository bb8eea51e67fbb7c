"""An answer that is sent line by line."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import trio

from transport.asgi import Send
from transport.grpc.status import Headers

NDJSON = (b"content-type", b"application/x-ndjson")


class Lines:
    """An answer whose lines leave one by one; `headers` are asked for when it begins.

    It begins with its first line. But a client that waits for something to happen has to learn that it is being
    served, so `begin_soon`, in a task of its own, begins it after a moment without any.
    """

    def __init__(self, send: Send, headers: Callable[[], Headers]) -> None:
        self._send = send
        self._headers = headers
        self._lock = trio.Lock()
        self._begun = False
        self._cut = False

    async def begin_soon(self, after_s: float) -> None:
        """Begin it then, if it has not."""
        await trio.sleep(after_s)
        await self._begin()

    async def write(self, lines: bytes) -> None:
        """Send lines; waits for as long as the client does not read."""
        await self._begin()
        self._cut = True
        await self._send({"type": "http.response.body", "body": lines, "more_body": True})
        self._cut = False

    async def has_begun(self) -> bool:
        """Whether it is too late for another answer; if it is just beginning, it has begun first."""
        async with self._lock:
            return self._begun

    async def end(self, last: bytes = b"") -> None:
        """Send the last line, if there is one; nothing at all after a line that was cut off, which tells as much."""
        await self._begin()
        if not self._cut:
            await self._send({"type": "http.response.body", "body": last})

    async def _begin(self) -> None:
        async with self._lock:
            if not self._begun:
                self._begun = True
                headers = [NDJSON, *self._headers()]
                await self._send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
