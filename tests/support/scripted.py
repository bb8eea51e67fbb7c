"""The typed client on connections whose other end the test plays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import trio
import trio.testing

from proto.transactions.v2 import identity_pb2
from tests.support.http2 import Server, reply
from transport.client.background import open_background
from transport.client.calls import Calls
from transport.client.channel import Channel
from transport.client.client import Client
from transport.client.frames import settings_frame
from transport.client.retry import RetryPolicy

TIMEOUT_S = 10.0
ACCESS_S = 900
FOR_EVER_S = 1_000_000
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def now() -> datetime:
    """The time of day, by Trio's clock."""
    return EPOCH + timedelta(seconds=trio.current_time())


class Peers:
    """The connections that the client opens, one after the other; the first `refused` of them are refused."""

    def __init__(self) -> None:
        self.refused = 0
        self._opened, self._servers = trio.open_memory_channel[Server](100)

    async def open_stream(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        if self.refused:
            self.refused -= 1
            raise OSError("refused")
        ours, theirs = trio.testing.memory_stream_pair()
        server = Server(theirs)
        await server.send(settings_frame([]))
        self._opened.send_nowait(server)
        return ours

    async def next(self) -> Server:
        """The next connection."""
        server = await self._servers.receive()
        await server.take_preface()
        return server


@asynccontextmanager
async def scripted_client(policy: RetryPolicy | None = None) -> AsyncIterator[tuple[Client, Peers]]:
    """Pauses are as long as they can be; the service's time of day is Trio's."""
    peers = Peers()
    with trio.fail_after(FOR_EVER_S):
        async with open_background() as nursery:
            channel = Channel(peers.open_stream, nursery, scheme="http", authority="test")
            yield (
                Client(
                    Calls(
                        channel,
                        nursery,
                        timeout_s=TIMEOUT_S,
                        policy=policy or RetryPolicy(),
                        random=lambda: 1.0,
                        now=now,
                    )
                ),
                peers,
            )


def login_response(number: int = 1, *, access_s: float = ACCESS_S) -> identity_pb2.LoginUserResponse:
    """The tokens access-N and refresh-N."""
    response = identity_pb2.LoginUserResponse(
        access_token=f"access-{number}", refresh_token=f"refresh-{number}"
    )
    response.access_token_expires_at.FromDatetime(now() + timedelta(seconds=access_s))
    return response


def renewal(number: int) -> identity_pb2.RenewAccessResponse:
    """As `login_response`."""
    return identity_pb2.RenewAccessResponse.FromString(login_response(number).SerializeToString())


@asynccontextmanager
async def logged_in(policy: RetryPolicy | None = None) -> AsyncIterator[tuple[Client, Peers, Server]]:
    """A client with the tokens number 1, and the server that has given them."""
    async with scripted_client(policy) as (client, peers):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.login, "alice", "correct horse")
            server = await peers.next()
            request = await server.request()
            await server.send(reply(request.stream_id, login_response()))
        yield client, peers, server
