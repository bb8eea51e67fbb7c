"""Clients that ask, over HTTP and over gRPC, and do not read what they are told."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from cli.drill.installation import DrillFailed, Service
from cli.hammer.plan import Plan
from transport.client import frames, watch
from transport.grpc.framing import frame as message_frame

RECEIVE_BUFFER_BYTES = 4_096
STALL_S = 0.5
"""What can not be sent for so long is not read by the other side either."""
REQUESTS_MAX = 20_000
STILL_S = 0.5


@asynccontextmanager
async def stalled_readers(service: Service, plan: Plan) -> AsyncIterator[int]:
    """One over each, for the block, when both stand still; gives how many bytes the one over HTTP has asked with.

    Raises DrillFailed where the service takes and sends on and on.
    """
    async with (
        await _connected(service.http_port) as over_http,
        await _connected(service.grpc_port) as over_grpc,
    ):
        asked = await _ask_without_reading(over_http, plan)
        await _watch_without_reading(over_grpc, plan)
        yield asked


async def _connected(port: int) -> trio.SocketStream:
    unread = trio.socket.socket()
    unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    await unread.connect(("127.0.0.1", port))
    return trio.SocketStream(unread)


async def _ask_without_reading(stream: trio.SocketStream, plan: Plan) -> int:
    """Until nobody takes any more: our answers fill the buffers of both sides."""
    request = (
        f"GET /v1/accounts/{plan.accounts[0]}/entries?limit=100 HTTP/1.1\r\nHost: drill\r\n"
        f"Authorization: Bearer {plan.token}\r\n\r\n"
    ).encode()
    for number in range(REQUESTS_MAX):
        with trio.move_on_after(STALL_S) as scope:
            await stream.send_all(request)
        if scope.cancelled_caught:
            return number * len(request)
    raise DrillFailed("requests are taken on and on, though nobody reads the answers")


async def _watch_without_reading(stream: trio.SocketStream, plan: Plan) -> None:
    """A stream of an account's entries, from the first: a window of one byte lets it begin."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": watch.PATH,
        ":authority": "drill",
        "content-type": "application/grpc",
        "te": "trailers",
        "authorization": f"Bearer {plan.token}",
    }
    block = b"".join(frames.literal(name, value) for name, value in fields.items())
    message = message_frame(watch.watch_request(plan.accounts[0], 0))
    await stream.send_all(
        frames.PREFACE
        + frames.settings_frame([(frames.INITIAL_WINDOW_SIZE, 1)])
        + frames.frame(frames.HEADERS, frames.END_HEADERS, 1, block)
        + frames.frame(frames.DATA, frames.END_STREAM, 1, message)
    )
    received = bytearray()
    with trio.move_on_after(STILL_S):
        async for data in stream:
            received += data
    data_bytes = sum(
        len(payload) for kind, _, _, payload in frames.take_frames(received) if kind == frames.DATA
    )
    if data_bytes != 1:
        raise DrillFailed(f"a stream with a window of one byte was sent {data_bytes}")
