"""The gRPC client: a channel of calls to one address, on a connection replaced when it takes no more.

Its users open one with `open_grpc`; the HTTP/2 below it is `grpc_connection`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from cli.hammer.grpc_connection import GrpcConnection, GrpcFailed, NotSent, Trailers, header_block

__all__ = ["GrpcChannel", "GrpcConnection", "GrpcFailed", "Trailers", "open_grpc"]

CONNECT_TIMEOUT_S = 5.0
ATTEMPTS_MAX = 3
"""Connections that one call is offered to; it is sent on one of them at most."""


class GrpcChannel:
    """Made by `open_grpc`. `call` may be awaited by many tasks at once."""

    def __init__(self, host: str, port: int, connection: GrpcConnection, nursery: trio.Nursery) -> None:
        self._host = host
        self._port = port
        self._nursery = nursery
        self._connecting = trio.Lock()
        self._connection = connection
        nursery.start_soon(connection.run)

    def header_block(self, authority: str, path: str, metadata: dict[str, str]) -> bytes:
        """The block for calls of one method with the same metadata."""
        return header_block(authority, path, metadata)

    async def call(self, block: bytes, message: bytes) -> Trailers:
        """Make a call; returns headers and trailers together. Raises GrpcFailed."""
        for _ in range(ATTEMPTS_MAX):
            if not self._connection.accepts:
                await self._reconnect()
            try:
                return await self._connection.call(block, message)
            except NotSent:
                continue
        raise GrpcFailed("no connection takes the call")

    async def _reconnect(self) -> None:
        async with self._connecting:
            if self._connection.accepts:
                return  # another call has done it meanwhile
            try:
                self._connection = await connect(self._host, self._port)
            except OSError as error:
                raise GrpcFailed(str(error)) from error
            self._nursery.start_soon(self._connection.run)


async def connect(host: str, port: int) -> GrpcConnection:
    """A connection after its handshake, whose `run` is the caller's. Raises OSError, GrpcFailed."""
    with trio.move_on_after(CONNECT_TIMEOUT_S):
        stream = await trio.open_tcp_stream(host, port)
        connection = GrpcConnection(stream)
        try:
            await connection.handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return connection
    raise GrpcFailed(f"no handshake within {CONNECT_TIMEOUT_S:g} s")


@asynccontextmanager
async def open_grpc(host: str, port: int) -> AsyncIterator[GrpcChannel]:
    """A channel for the block. Raises OSError when nobody listens, GrpcFailed when it is no HTTP/2."""
    connection = await connect(host, port)
    async with trio.open_nursery() as nursery:
        yield GrpcChannel(host, port, connection, nursery)
        nursery.cancel_scope.cancel()
