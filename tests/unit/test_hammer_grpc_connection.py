"""The gRPC connection against a server that the test plays frame by frame."""

from __future__ import annotations

import struct
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from hpack import Encoder

from cli.hammer import frames
from cli.hammer.frames import frame, settings_frame, u32_frame
from cli.hammer.grpc_connection import (
    MESSAGE_BYTES_MAX,
    WINDOW_REFILL_BYTES,
    GrpcConnection,
    GrpcFailed,
    NotSent,
    header_block,
)

BLOCK = header_block("host:1", "/a.B/C", {"authorization": "Bearer t"})
END = frames.END_HEADERS | frames.END_STREAM


def block_of(*fields: tuple[str, str]) -> bytes:
    return b"".join(frames.literal(name, value) for name, value in fields)


OK_BLOCK = block_of((":status", "200"), ("grpc-status", "0"))


def answer(stream_id: int, block: bytes = OK_BLOCK) -> bytes:
    return frame(frames.HEADERS, END, stream_id, block)


class Server:
    """The other end of the connection."""

    def __init__(self, stream) -> None:
        self.stream = stream
        self._in = bytearray()
        self._taken: list[frames.Frame] = []

    async def send(self, *data: bytes) -> None:
        await self.stream.send_all(b"".join(data))

    async def next(self, *kinds: int) -> frames.Frame:
        """The client's next frame of one of these kinds."""
        while True:
            while self._taken:
                taken = self._taken.pop(0)
                if taken[0] in kinds:
                    return taken
            self._in += await self.stream.receive_some(2**16)
            self._taken += frames.take_frames(self._in)

    async def calls(self, number: int) -> list[int]:
        return [(await self.next(frames.HEADERS))[2] for _ in range(number)]


@asynccontextmanager
async def connected(*settings: tuple[int, int], first_stream_id: int = 1):
    ours, theirs = trio.testing.memory_stream_pair()
    connection, server = GrpcConnection(ours, first_stream_id=first_stream_id), Server(theirs)
    with trio.fail_after(5):
        await server.send(settings_frame(settings))
        await connection.handshake()
        assert await theirs.receive_some(len(frames.PREFACE)) == frames.PREFACE
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run)
            yield connection, server
            nursery.cancel_scope.cancel()


class Calls:
    """Calls in tasks of their own, and how each ended."""

    def __init__(self, nursery: trio.Nursery, connection: GrpcConnection) -> None:
        self._nursery = nursery
        self._connection = connection
        self.ended: list[str] = []

    def start(self, number: int = 1) -> None:
        for _ in range(number):
            self._nursery.start_soon(self._call)

    async def _call(self) -> None:
        try:
            self.ended.append((await self._connection.call(BLOCK, b"message"))["grpc-status"])
        except GrpcFailed as failure:
            self.ended.append(str(failure))


@asynccontextmanager
async def calling(number: int, *settings: tuple[int, int]):
    async with connected(*settings) as (connection, server), trio.open_nursery() as nursery:
        calls = Calls(nursery, connection)
        calls.start(number)
        yield connection, server, calls


async def test_call_sends_headers_and_a_prefixed_message():
    async with calling(1) as (_, server, calls):
        _, flags, stream_id, block = await server.next(frames.HEADERS)
        assert (flags, stream_id, block) == (frames.END_HEADERS, 1, BLOCK)
        assert await server.next(frames.DATA) == (frames.DATA, frames.END_STREAM, 1, b"\0\0\0\0\x07message")
        await server.send(answer(1))
    assert calls.ended == ["0"]


async def test_calls_are_answered_out_of_order_and_a_byte_at_a_time():
    async with calling(2) as (_, server, calls):
        first, second = await server.calls(2)
        both = answer(second, block_of(("grpc-status", "7"))) + answer(first)
        for at in range(len(both)):
            await server.send(both[at : at + 1])
    assert calls.ended == ["7", "0"]


async def test_headers_and_trailers_come_together():
    async with connected() as (connection, server), trio.open_nursery() as nursery:

        async def serve() -> None:
            (stream_id,) = await server.calls(1)
            await server.send(
                frame(frames.HEADERS, frames.END_HEADERS, stream_id, block_of((":status", "200"))),
                frame(frames.DATA, 0, stream_id, b"\0\0\0\0\0"),
                answer(stream_id, block_of(("grpc-status", "9"), ("error-code", "account_frozen"))),
            )

        nursery.start_soon(serve)
        received = await connection.call(BLOCK, b"")
    assert received == {":status": "200", "grpc-status": "9", "error-code": "account_frozen"}


async def test_a_header_block_may_be_continued_and_padded():
    async with calling(1) as (_, server, calls):
        (stream_id,) = await server.calls(1)
        start = b"\x03" + OK_BLOCK[:5] + b"\0\0\0"
        await server.send(
            frame(frames.HEADERS, frames.END_STREAM | frames.PADDED, stream_id, start),
            frame(frames.CONTINUATION, 0, stream_id, OK_BLOCK[5:9]),
            frame(frames.CONTINUATION, frames.END_HEADERS, stream_id, OK_BLOCK[9:]),
        )
    assert calls.ended == ["0"]


async def test_everyone_waiting_for_the_window_is_released():
    async with connected() as (connection, server), trio.open_nursery() as nursery:
        calls = Calls(nursery, connection)
        filler = b"x" * (MESSAGE_BYTES_MAX - 3)  # four of them and the window of 65,535 bytes is used up
        for _ in range(4):
            nursery.start_soon(connection.call, BLOCK, filler)
        assert await server.calls(4) == [1, 3, 5, 7]
        calls.start(3)
        await trio.testing.wait_all_tasks_blocked()
        assert calls.ended == []
        await server.send(u32_frame(frames.WINDOW_UPDATE, 0, 1_000))
        waited = await server.calls(3)
        await server.send(*(answer(stream_id) for stream_id in [1, 3, 5, 7, *waited]))
    assert calls.ended == ["0"] * 3


async def test_the_servers_limit_on_streams_is_kept():
    async with calling(5, (frames.MAX_CONCURRENT_STREAMS, 2)) as (_, server, calls):
        for first, second in ((1, 3), (5, 7)):
            assert await server.calls(2) == [first, second]
            await trio.testing.wait_all_tasks_blocked()
            assert server._taken == [(frames.DATA, frames.END_STREAM, second, b"\0\0\0\0\x07message")]
            await server.send(answer(first), answer(second))
        assert await server.calls(1) == [9]
        await server.send(answer(9))
    assert calls.ended == ["0"] * 5


async def test_a_cancelled_call_resets_its_stream_and_gives_its_place_away():
    async with calling(0, (frames.MAX_CONCURRENT_STREAMS, 1)) as (connection, server, calls):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.call, BLOCK, b"")
                assert await server.calls(1) == [1]
                calls.start()
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert (await server.next(frames.RST_STREAM))[2:] == (1, struct.pack("!I", frames.CANCEL))
        assert await server.calls(1) == [3]
        await server.send(answer(1), answer(3))  # the answer to the cancelled one is nobody's
    assert calls.ended == ["0"]


async def test_reset_fails_one_call_alone():
    async with calling(2) as (_, server, calls):
        first, second = await server.calls(2)
        await server.send(u32_frame(frames.RST_STREAM, first, 8), answer(second))
    assert sorted(calls.ended) == ["0", "the server reset the stream with code 8"]


async def test_goaway_fails_what_the_server_never_saw_and_lets_the_rest_finish():
    async with calling(2) as (connection, server, calls):
        first, _ = await server.calls(2)
        await server.send(frame(frames.GOAWAY, 0, 0, struct.pack("!II", first, 0)))
        await trio.testing.wait_all_tasks_blocked()
        assert calls.ended == ["the server is going away"]
        with pytest.raises(NotSent):
            await connection.call(BLOCK, b"")
        await server.send(answer(first))
    assert calls.ended == ["the server is going away", "0"]


async def test_the_first_goaway_of_a_drain_ends_new_calls_only():
    async with calling(1) as (connection, server, calls):
        (stream_id,) = await server.calls(1)
        await server.send(frame(frames.GOAWAY, 0, 0, struct.pack("!II", 2**31 - 1, 0)))
        await trio.testing.wait_all_tasks_blocked()
        assert not connection.accepts
        assert calls.ended == []
        await server.send(answer(stream_id))
    assert calls.ended == ["0"]


async def test_a_connection_without_stream_ids_left_accepts_nothing():
    async with connected(first_stream_id=frames.STREAM_ID_MAX) as (connection, server):
        async with trio.open_nursery() as nursery:
            calls = Calls(nursery, connection)
            calls.start()
            assert await server.calls(1) == [frames.STREAM_ID_MAX]
            assert not connection.accepts
            await server.send(answer(frames.STREAM_ID_MAX))
        assert calls.ended == ["0"]
        with pytest.raises(NotSent):
            await connection.call(BLOCK, b"")


async def test_a_lost_connection_fails_what_is_in_flight():
    async with calling(2) as (_, server, calls):
        await server.calls(2)
        await server.stream.aclose()
    assert calls.ended == ["the server closed the connection"] * 2


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (answer(1, b"\xff" * 8), "Variable integer"),
        (answer(1, Encoder().encode([("x-a", "b")]) + b"\xbe"), "Invalid table index 62"),
        (frame(frames.CONTINUATION, 0, 1, b""), "a continuation of nothing"),
        (frame(frames.HEADERS, 0, 1, b"") + frame(frames.PING, 0, 0, b"12345678"), "interrupted"),
        (frame(frames.PUSH_PROMISE, 0, 1, b""), "a push"),
        (frame(frames.GOAWAY, 0, 0, b""), "too short"),
        (u32_frame(frames.WINDOW_UPDATE, 0, frames.WINDOW_MAX), "beyond its maximum"),
    ],
)
async def test_a_violation_ends_the_connection_and_its_calls(data, why):
    async with calling(1) as (connection, server, calls):
        await server.calls(1)
        await server.send(data)
    assert len(calls.ended) == 1
    assert why in calls.ended[0]
    assert not connection.accepts


async def test_an_endless_header_block_is_refused():
    async with calling(1) as (_, server, calls):
        await server.calls(1)
        pieces = [frame(frames.CONTINUATION, 0, 1, b"\0" * 16_000) for _ in range(5)]
        await server.send(frame(frames.HEADERS, 0, 1, b""), *pieces)
    assert calls.ended == ["a header block beyond our limit"]


async def test_an_answer_without_a_grpc_status_is_a_failure():
    async with calling(1) as (_, server, calls):
        await server.calls(1)
        await server.send(answer(1, block_of((":status", "415"))))
    assert calls.ended == ["HTTP 415 without a gRPC status"]


async def test_ping_is_answered_with_its_own_bytes():
    async with connected() as (_, server):
        await server.send(frame(frames.PING, 0, 0, b"12345678"))
        assert await server.next(frames.PING) == (frames.PING, frames.ACK, 0, b"12345678")


async def test_the_receive_window_is_opened_again_in_bulk():
    async with connected() as (_, server):
        full = frame(frames.DATA, 0, 1, b"x" * 16_384)
        await server.next(frames.WINDOW_UPDATE)  # the one of the handshake
        for _ in range(2):  # and each time by what came since the last
            for _ in range(WINDOW_REFILL_BYTES // 16_384 + 1):
                await server.send(full)
            _, _, stream_id, payload = await server.next(frames.WINDOW_UPDATE)
            assert (stream_id, frames.number_of(payload)) == (0, WINDOW_REFILL_BYTES + 16_384)


async def test_a_message_larger_than_a_frame_is_the_callers_mistake():
    async with connected() as (connection, _):
        with pytest.raises(ValueError, match="larger than one frame"):
            await connection.call(BLOCK, b"x" * (MESSAGE_BYTES_MAX + 1))


async def test_a_message_larger_than_the_servers_window_is_not_sent():
    async with connected((frames.INITIAL_WINDOW_SIZE, 10)) as (connection, _):
        with pytest.raises(GrpcFailed, match="no more than 5 bytes"):
            await connection.call(BLOCK, b"123456")


async def test_handshake_refuses_what_is_no_http2():
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(GrpcFailed, match="does not speak HTTP/2"):
        await GrpcConnection(ours).handshake()
