"""A proxy in front of PostgreSQL that cuts the line at a COMMIT, before or after the server has heard it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote

import trio

BEFORE, AFTER = "before", "after"


class CommitCutter:
    """`cuts` are used up one a COMMIT: BEFORE the server hears it, or AFTER it has answered."""

    def __init__(self, database_url: str) -> None:
        match = re.fullmatch(r"postgresql://(\w+)@/(\w+)\?host=(.*)", database_url)
        assert match is not None
        self._user, self._database, folder = match[1], match[2], unquote(match[3])
        self._socket = f"{folder}/.s.PGSQL.5432"
        self.cuts: list[str] = []
        self.made = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"postgresql://{self._user}@127.0.0.1:{self.port}/{self._database}?sslmode=disable&gssencmode=disable"

    async def handle(self, client: trio.SocketStream) -> None:
        async with await trio.open_unix_socket(self._socket) as server, trio.open_nursery() as nursery:
            answered = trio.Event()
            cutting: list[str] = []

            async def to_server() -> None:
                async for data in client:
                    if self.cuts and re.search(rb"\bcommit\b", data, re.IGNORECASE):
                        cutting.append(self.cuts.pop(0))
                        self.made += 1
                        if cutting == [BEFORE]:
                            nursery.cancel_scope.cancel()
                            return
                    await server.send_all(data)
                nursery.cancel_scope.cancel()

            async def to_client() -> None:
                async for data in server:
                    if cutting:
                        answered.set()
                        nursery.cancel_scope.cancel()
                        return
                    await client.send_all(data)
                nursery.cancel_scope.cancel()

            nursery.start_soon(to_server)
            nursery.start_soon(to_client)


@asynccontextmanager
async def commit_cutter(database_url: str) -> AsyncIterator[CommitCutter]:
    """The proxy, for the block."""
    cutter = CommitCutter(database_url)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    cutter.port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, cutter.handle, listeners)
        yield cutter
        nursery.cancel_scope.cancel()
