"""Calls to one address, on a connection that is replaced when it takes no more.

Opened with `open_channel`; the HTTP/2 below it is `connection`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from ssl import SSLContext

import trio

from transport.client.address import join_address
from transport.client.background import open_background
from transport.client.connection import Connection
from transport.client.failures import NotSent
from transport.client.headers import header_block, metadata_block
from transport.client.stream import Stream

CONNECT_TIMEOUT_S = 5.0
OFFERS_MAX = 2
"""Connections that a call is offered to when the one it came to has not taken it."""


class Channel:
    """It connects with the first call, or with `connect`; connections run in `nursery`, until it is cancelled.

    Calls may be made by many tasks at once.
    """

    def __init__(
        self,
        open_stream: Callable[[], Awaitable[trio.abc.Stream]],
        nursery: trio.Nursery,
        *,
        scheme: str,
        authority: str,
    ) -> None:
        self._open_stream = open_stream
        self._nursery = nursery
        self._scheme = scheme
        self._authority = authority
        self._blocks: dict[str, bytes] = {}
        self._connecting = trio.Lock()
        self._connection: Connection | None = None

    @classmethod
    def to(cls, host: str, port: int, nursery: trio.Nursery, ssl_context: SSLContext | None = None) -> Channel:
        """A channel over TCP, or over TLS with an SSL context, which is told to ask for HTTP/2 (ALPN)."""
        authority = join_address(host, port)
        if ssl_context is None:
            return cls(partial(trio.open_tcp_stream, host, port), nursery, scheme="http", authority=authority)
        ssl_context.set_alpn_protocols(["h2"])
        return cls(partial(_open_tls, host, port, ssl_context), nursery, scheme="https", authority=authority)

    def header_block(self, path: str, metadata: dict[str, str]) -> bytes:
        """For calls of one method with the same metadata; `frames.literal` may be appended to it."""
        block = self._blocks.get(path)
        if block is None:
            block = self._blocks[path] = header_block(self._scheme, self._authority, path)
        return block + metadata_block(metadata)

    async def call(self, block: bytes, message: bytes) -> Stream:
        """Make a call of one message; returns it when it has ended. Raises NoAnswer."""
        connection = self._connection
        if connection is not None and connection.accepts:  # nearly always: the short way, for load
            try:
                return await connection.call(block, message)
            except NotSent:
                pass
        return await self._offer(lambda connection: connection.call(block, message))

    async def open(self, block: bytes) -> Stream:
        """Begin a call of several messages. Raises NoAnswer."""
        return await self._offer(lambda connection: connection.open(block))

    async def _offer(self, make: Callable[[Connection], Awaitable[Stream]]) -> Stream:
        for _ in range(OFFERS_MAX - 1):
            connection = await self.connect()
            try:
                return await make(connection)
            except NotSent:
                continue
        return await make(await self.connect())

    async def connect(self) -> Connection:
        """The connection that takes calls; a new one where there is none. Raises NotSent."""
        async with self._connecting:  # by one call; the others find it done
            connection = self._connection
            if connection is None or not connection.accepts:
                connection = self._connection = await self._open_connection()
                self._nursery.start_soon(connection.run)
            return connection

    async def _open_connection(self) -> Connection:
        """A connection after its handshake, whose `run` is the caller's."""
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            try:
                stream = await self._open_stream()
            except (OSError, trio.BrokenResourceError) as error:
                raise NotSent(str(error) or str(error.__cause__)) from error
            try:
                connection = Connection(stream)
                await connection.handshake()
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
            return connection
        raise NotSent(f"no connection within {CONNECT_TIMEOUT_S:g} s")


async def _open_tls(host: str, port: int, ssl_context: SSLContext) -> trio.SSLStream[trio.SocketStream]:
    stream = await trio.open_ssl_over_tcp_stream(host, port, ssl_context=ssl_context)
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


@asynccontextmanager
async def open_channel(host: str, port: int) -> AsyncIterator[Channel]:
    """A channel for the block."""
    async with open_background() as nursery:
        yield Channel.to(host, port, nursery)
