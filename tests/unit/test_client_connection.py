"""The gRPC connection against a server that the test plays frame by frame."""

from __future__ import annotations

import struct
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from hpack import Encoder

from tests.support.http2 import OK_BLOCK, Server, answer, block_of, data_of, headers_of
from transport.client import frames
from transport.client.connection import SILENCE_MAX_S, WINDOW_REFILL_BYTES, Connection
from transport.client.failures import NoAnswer, NotSent, StatusError
from transport.client.frames import frame, settings_frame, u32_frame
from transport.client.headers import header_block
from transport.client.stream import MESSAGE_BYTES_MAX, WINDOW_BYTES
from transport.grpc.framing import frame as message_frame

BLOCK = header_block("http", "host:1", "/a.B/C")


@asynccontextmanager
async def connected(*settings: tuple[int, int], first_stream_id: int = 1, timeout_s: float = 5):
    ours, theirs = trio.testing.memory_stream_pair()
    connection, server = Connection(ours, first_stream_id=first_stream_id), Server(theirs)
    with trio.fail_after(timeout_s):
        await server.send(settings_frame(settings))
        await connection.handshake()
        await server.take_preface()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run)
            yield connection, server
            nursery.cancel_scope.cancel()


class Calls:
    """Calls in tasks of their own, and how each ended."""

    def __init__(self, nursery: trio.Nursery, connection: Connection) -> None:
        self._nursery = nursery
        self._connection = connection
        self.ended: list[str] = []

    def start(self, number: int = 1) -> None:
        for _ in range(number):
            self._nursery.start_soon(self._call)

    async def _call(self) -> None:
        try:
            self.ended.append((await self._connection.call(BLOCK, b"message")).fields["grpc-status"])
        except NoAnswer as failure:
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


async def test_headers_trailers_and_the_message_come_together():
    async with connected() as (connection, server), trio.open_nursery() as nursery:

        async def serve() -> None:
            (stream_id,) = await server.calls(1)
            trailers = block_of(("grpc-status", "0"), ("idempotency-replayed", "true"))
            await server.send(headers_of(stream_id), data_of(stream_id, b"done"), answer(stream_id, trailers))

        nursery.start_soon(serve)
        ended = await connection.call(BLOCK, b"")
    assert ended.fields == {":status": "200", "grpc-status": "0", "idempotency-replayed": "true"}
    assert ended.only_message() == b"done"


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


async def test_everyone_waiting_for_the_connections_window_is_released():
    async with connected() as (connection, server), trio.open_nursery() as nursery:
        calls = Calls(nursery, connection)
        nursery.start_soon(connection.call, BLOCK, b"x" * (frames.WINDOW_DEFAULT - 5))  # and it is used up
        (first,) = await server.calls(1)
        while not (await server.data())[2]:
            pass
        calls.start(3)
        waiting = await server.calls(3)
        await trio.testing.wait_all_tasks_blocked()
        assert server.taken == []
        await server.widen(0, 1_000)
        assert {(await server.data())[0] for _ in waiting} == set(waiting)
        await server.send(*(answer(stream_id) for stream_id in [first, *waiting]))
    assert calls.ended == ["0"] * 3


async def test_the_servers_limit_on_streams_is_kept():
    async with calling(5, (frames.MAX_CONCURRENT_STREAMS, 2)) as (_, server, calls):
        for first, second in ((1, 3), (5, 7)):
            assert await server.calls(2) == [first, second]
            await trio.testing.wait_all_tasks_blocked()
            assert server.taken == [(frames.DATA, frames.END_STREAM, second, b"\0\0\0\0\x07message")]
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


async def test_metadata_larger_than_a_frame_is_the_callers_mistake():
    async with connected() as (connection, _):
        with pytest.raises(ValueError, match="larger than one frame"):
            await connection.call(b"x" * (frames.FRAME_BYTES_MAX + 1), b"")


async def test_a_message_goes_in_pieces_as_its_streams_window_opens():
    message = bytes(range(256)) * 100
    room = (frames.INITIAL_WINDOW_SIZE, 10_000)
    async with connected(room) as (connection, server), trio.open_nursery() as nursery:
        nursery.start_soon(connection.call, BLOCK, message)
        received, last = b"", False
        while not last:
            stream_id, piece, last = await server.data()
            received += piece
            if len(received) == 10_000:
                await trio.testing.wait_all_tasks_blocked()
                assert server.taken == []
                await server.send(settings_frame([(frames.INITIAL_WINDOW_SIZE, 12_000)]))
            if len(received) == 12_000:
                await server.widen(stream_id, 2**20)
        assert received == message_frame(message)
        await server.send(answer(stream_id))


async def test_a_window_that_shrank_below_what_was_sent_must_open_that_far_first():
    room = (frames.INITIAL_WINDOW_SIZE, 1_000)
    async with connected(room) as (connection, server), trio.open_nursery() as nursery:
        nursery.start_soon(connection.call, BLOCK, b"x" * 1_195)
        stream_id, piece, _ = await server.data()
        await server.send(settings_frame([(frames.INITIAL_WINDOW_SIZE, 100)]))
        await server.widen(stream_id, 900)
        await trio.testing.wait_all_tasks_blocked()
        await server.widen(stream_id, 200)
        assert (len(piece), await server.data()) == (1_000, (stream_id, b"x" * 200, True))
        await server.send(answer(stream_id))


# Streams


@asynccontextmanager
async def streaming(*settings: tuple[int, int]):
    async with connected(*settings) as (connection, server):
        stream = await connection.open(BLOCK)
        assert await server.calls(1) == [1]
        yield stream, server


async def test_messages_go_both_ways_until_both_have_ended():
    async with streaming() as (stream, server):
        await stream.send(b"a")
        await stream.send(b"b")
        await stream.close_sending()
        assert [await server.data() for _ in range(3)] == [
            (1, message_frame(b"a"), False),
            (1, message_frame(b"b"), False),
            (1, b"", True),
        ]
        both = message_frame(b"one") + message_frame(b"two")
        await server.send(headers_of(1), frame(frames.DATA, 0, 1, both[:11]))
        assert await stream.receive() == b"one"
        await server.send(frame(frames.DATA, 0, 1, both[11:]), answer(1, block_of(("grpc-status", "0"))))
        assert [await stream.receive() for _ in range(3)] == [b"two", None, None]


async def test_a_status_comes_after_the_messages_before_it():
    async with streaming() as (stream, server):
        await server.send(headers_of(1), data_of(1, b"one"), answer(1, block_of(("grpc-status", "14"))))
        assert await stream.receive() == b"one"
        with pytest.raises(StatusError) as caught:
            await stream.receive()
        assert caught.value.status == 14


async def test_a_slow_reader_holds_its_own_stream_back():
    full = [frame(frames.DATA, 0, 1, piece) for piece in pieces(message_frame(b"x" * 1_019) * 256)]
    async with streaming() as (stream, server):
        await server.send(headers_of(1), *full)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(256):
            await stream.receive()
        await trio.testing.wait_all_tasks_blocked()
        assert server.taken == []  # all of the window is used, and nothing of it was given back
        with trio.move_on_after(0):
            await stream.receive()  # only who asks for more makes room for it
        assert (await server.next(frames.WINDOW_UPDATE))[2:] == (1, struct.pack("!I", WINDOW_BYTES))


def pieces(data: bytes) -> list[bytes]:
    return [data[at : at + 2**14] for at in range(0, len(data), 2**14)]


async def test_a_message_larger_than_the_window_is_received_as_it_comes():
    message = b"x" * (WINDOW_BYTES * 2)
    async with streaming() as (stream, server), trio.open_nursery() as nursery:

        async def serve() -> None:
            sent, room = 0, WINDOW_BYTES
            for piece in pieces(message_frame(message)):
                while sent + len(piece) > room:
                    room += frames.number_of((await server.next(frames.WINDOW_UPDATE))[3])
                await server.send(frame(frames.DATA, 0, 1, piece))
                sent += len(piece)

        nursery.start_soon(serve)
        assert await stream.receive() == message


async def test_more_than_a_streams_window_is_a_violation():
    async with streaming() as (stream, server):
        for piece in pieces(message_frame(b"x" * WINDOW_BYTES)):
            await server.send(frame(frames.DATA, 0, 1, piece))
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(NoAnswer, match="more than a stream's window"):
            await stream.receive()


async def test_a_message_beyond_our_limit_is_not_waited_for():
    async with streaming() as (stream, server):
        await server.send(headers_of(1), frame(frames.DATA, 0, 1, struct.pack("!BI", 0, MESSAGE_BYTES_MAX + 1)))
        with pytest.raises(NoAnswer, match="at most"):
            await stream.receive()
        assert (await server.next(frames.RST_STREAM))[2:] == (1, struct.pack("!I", frames.CANCEL))


async def test_an_answer_beyond_our_limit_ends_the_call():
    async with calling(1) as (_, server, calls):
        await server.calls(1)
        await server.next(frames.DATA)
        room, sent = WINDOW_BYTES, 0
        piece = frame(frames.DATA, 0, 1, b"\0\xff\xff\xff\xff" + b"x" * (2**14 - 5))
        while not calls.ended:
            while sent + 2**14 > room:
                room += frames.number_of((await server.next(frames.WINDOW_UPDATE))[3])
            await server.send(piece)
            sent += 2**14
    assert calls.ended == ["an answer beyond our limit"]
    assert sent <= MESSAGE_BYTES_MAX + WINDOW_BYTES


async def test_who_leaves_a_stream_tells_the_server():
    async with streaming() as (stream, server):
        stream.cancel()
        assert (await server.next(frames.RST_STREAM))[2:] == (1, struct.pack("!I", frames.CANCEL))
        await server.send(data_of(1, b"late"), answer(1))
        with pytest.raises(NoAnswer, match="cancelled"):
            await stream.receive()


async def test_a_stream_that_the_server_ended_is_sent_no_more_on():
    async with streaming((frames.INITIAL_WINDOW_SIZE, 0)) as (stream, server):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send, b"waits for room")
            await trio.testing.wait_all_tasks_blocked()
            await server.send(answer(1))
        assert (await server.next(frames.RST_STREAM, frames.DATA))[0] == frames.RST_STREAM
        assert await stream.receive() is None


async def test_compression_that_nobody_asked_for_is_refused():
    async with streaming() as (stream, server):
        await server.send(headers_of(1), frame(frames.DATA, 0, 1, struct.pack("!BI", 1, 0)))
        with pytest.raises(NoAnswer, match="compressed"):
            await stream.receive()


async def test_what_was_refused_unseen_may_be_sent_again():
    async with streaming() as (stream, server):
        await server.send(u32_frame(frames.RST_STREAM, 1, frames.REFUSED_STREAM))
        with pytest.raises(NotSent):
            await stream.receive()


async def test_a_server_that_has_fallen_silent_is_asked_and_then_given_up(mock_clock):
    async with connected(timeout_s=10 * SILENCE_MAX_S) as (connection, server):
        stream = await connection.open(BLOCK)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(SILENCE_MAX_S)
        assert await server.next(frames.PING) == (frames.PING, 0, 0, bytes(8))
        await server.send(frame(frames.PING, frames.ACK, 0, bytes(8)))
        for _ in range(2):  # an answer was heard: it is asked once more
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(SILENCE_MAX_S)
        assert (await server.next(frames.PING))[0] == frames.PING
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(SILENCE_MAX_S)
        with pytest.raises(NoAnswer, match="fallen silent"):
            await stream.receive()
        assert not connection.accepts


async def test_handshake_refuses_what_is_no_http2():
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(NotSent, match="does not speak HTTP/2"):
        await Connection(ours).handshake()
