"""The gRPC connection against a raw HTTP/2 client with bad manners."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import pytest
import trio
import trio.testing
from google.protobuf.wrappers_pb2 import StringValue
from hyperframe.frame import DataFrame, ExtensionFrame, Frame, GoAwayFrame, PriorityFrame, SettingsFrame

from domain.errors import InvalidArgument
from transport.admission import Admission, AdmissionLimits
from transport.grpc.framing import PREFIX, frame
from transport.grpc.limits import GrpcLimits
from transport.grpc.methods import methods_of
from transport.grpc.server import GrpcServer

from purerpc import Cardinality, RPCSignature  # isort: skip
from purerpc.server import Service  # isort: skip

LIMITS = GrpcLimits(
    message_max_bytes=10_000,
    metadata_max_bytes=4_000,
    preface_timeout_s=0.3,
    send_timeout_s=1.0,
    drain_round_trip_s=0.3,
    idle_frames_max=50,
    streams_max=20,
    held_max_bytes=40_000,
    request_s=0.5,
)
PLACES = 10
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = SettingsFrame(0).serialize()


class Echo:
    """Methods that answer, wait, stream and fail."""

    def __init__(self) -> None:
        self.gate = trio.Event()
        self.begun = 0
        self.cancelled = 0
        self.streamed = 0

    async def say(self, message: StringValue) -> StringValue:
        return message

    async def wait(self, message: StringValue) -> StringValue:
        self.begun += 1
        try:
            await self.gate.wait()
        except trio.Cancelled:
            self.cancelled += 1
            raise
        return message

    async def fail(self, message: StringValue) -> StringValue:
        if message.value == "field":
            raise InvalidArgument.field("value", "is wrong: 100% é")
        raise RuntimeError("secret detail")

    async def chat(self, messages: AsyncIterator[StringValue]) -> AsyncIterator[StringValue]:
        async for message in messages:
            yield StringValue(value=message.value.upper())

    async def large(self, message: StringValue) -> StringValue:
        return StringValue(value="x" * 300_000)

    async def flood(self, message: StringValue) -> AsyncIterator[StringValue]:
        while True:
            self.streamed += 1
            yield StringValue(value="x" * 8_000)

    def service(self) -> Service:
        service = Service("test.Echo")
        for name, cardinality in (
            ("say", Cardinality.UNARY_UNARY),
            ("wait", Cardinality.UNARY_UNARY),
            ("fail", Cardinality.UNARY_UNARY),
            ("chat", Cardinality.STREAM_STREAM),
            ("large", Cardinality.UNARY_UNARY),
            ("flood", Cardinality.UNARY_STREAM),
        ):
            service.add_method(name, getattr(self, name), RPCSignature(cardinality, StringValue, StringValue))
        return service


class Client:
    """Speaks HTTP/2 by hand."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        )
        self.events: list[h2.events.Event] = []
        self.closed = False
        self.goaways: list[GoAwayFrame] = []
        self._buffer = b""

    async def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            await self.stream.send_all(data)

    async def begin(self, method: str, *extra: tuple[str, str], end_stream: bool = False) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", f"/test.Echo/{method}"),
            (":authority", "test"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
        names = {name for name, _ in extra}
        kept = [header for header in headers if header[0] not in names]
        self.h2.send_headers(stream_id, [*kept, *extra], end_stream=end_stream)
        await self.flush()
        return stream_id

    async def call(self, method: str, message: bytes = b"", *extra: tuple[str, str]) -> int:
        stream_id = await self.begin(method, *extra)
        self.h2.send_data(
            stream_id, message or frame(StringValue(value="hi").SerializeToString()), end_stream=True
        )
        await self.flush()
        return stream_id

    async def receive(self) -> None:
        try:
            data = await self.stream.receive_some(65_536)
        except trio.BrokenResourceError:
            data = b""
        if not data:
            self.closed = True
            return
        events = self.h2.receive_data(self._without_goaways(bytes(data)))
        self.events += events
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.unread:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        await self.flush()

    def _without_goaways(self, data: bytes) -> bytes:
        # To h2 a GOAWAY is the end, but what is in flight is still to come.
        self._buffer += data
        kept = b""
        while len(self._buffer) >= 9:
            frame_, length = Frame.parse_frame_header(memoryview(self._buffer[:9]))
            if len(self._buffer) < 9 + length:
                break
            whole, self._buffer = self._buffer[: 9 + length], self._buffer[9 + length :]
            if isinstance(frame_, GoAwayFrame):
                frame_.parse_body(memoryview(whole[9:]))
                self.goaways.append(frame_)
            else:
                kept += whole
        return kept

    async def goaway(self, number: int = 1) -> GoAwayFrame:
        with trio.fail_after(5):
            while len(self.goaways) < number:
                assert not self.closed, self.events
                await self.receive()
        return self.goaways[number - 1]

    unread: frozenset[int] = frozenset()

    async def until(self, kind: type, stream_id: int | None = None):
        with trio.fail_after(5):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and stream_id in (None, getattr(event, "stream_id", None)):
                        return event
                assert not self.closed, self.events
                await self.receive()

    async def until_closed(self) -> None:
        with trio.fail_after(5):
            while not self.closed:
                await self.receive()

    async def trailers(self, stream_id: int) -> dict[str, str]:
        await self.until(h2.events.StreamEnded, stream_id)
        found: dict[str, str] = {}
        for event in self.events:
            if getattr(event, "stream_id", None) == stream_id and hasattr(event, "headers"):
                found |= dict(event.headers)
        return found

    def data(self, stream_id: int) -> bytes:
        return b"".join(
            event.data
            for event in self.events
            if isinstance(event, h2.events.DataReceived) and event.stream_id == stream_id
        )


class Bench:
    def __init__(self, server: GrpcServer, echo: Echo) -> None:
        self.server = server
        self.echo = echo

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with await trio.open_tcp_stream("127.0.0.1", self.server.port) as stream:
            client = Client(stream)
            client.h2.initiate_connection()
            await client.flush()
            yield client

    async def until(self, condition) -> None:
        with trio.fail_after(5):
            while not condition():
                await trio.sleep(0.005)


@pytest.fixture
async def bench(nursery):
    echo = Echo()
    admission = Admission(AdmissionLimits(connections_max=PLACES))
    methods = methods_of([echo.service()], ruled=False)
    server = GrpcServer(methods, "127.0.0.1:0", limits=LIMITS, admission=admission)
    await nursery.start(server.run)
    yield Bench(server, echo)
    nursery.cancel_scope.cancel()


async def test_a_call_is_answered_with_trailers(bench):
    async with bench.client() as client:
        stream_id = await client.call("say")
        trailers = await client.trailers(stream_id)
        assert (trailers[":status"], trailers["grpc-status"]) == ("200", "0")
        assert client.data(stream_id) == frame(StringValue(value="hi").SerializeToString())


async def test_an_answer_larger_than_the_window_arrives_whole(bench):
    async with bench.client() as client:
        stream_id = await client.call("large")
        assert (await client.trailers(stream_id))["grpc-status"] == "0"
        assert len(client.data(stream_id)) > 300_000


async def test_an_answer_that_its_client_does_not_read_ends_at_its_deadline(bench):
    async with bench.client() as client:
        client.unread = frozenset({1})
        stream_id = await client.call("large", b"", ("grpc-timeout", "200m"))
        assert stream_id == 1
        assert (await client.trailers(stream_id))["grpc-status"] == "4"
    async with bench.client() as client:
        assert (await client.trailers(await client.call("say")))["grpc-status"] == "0"


async def test_a_defect_tells_a_request_id_and_nothing_else(bench):
    async with bench.client() as client:
        trailers = await client.trailers(await client.call("fail"))
        assert trailers["grpc-status"] == "13"
        assert trailers["error-code"] == "internal"
        assert "secret" not in str(trailers)
        assert trailers["request-id"] in trailers["grpc-message"]


async def test_messages_of_errors_are_percent_encoded(bench):
    async with bench.client() as client:
        message = frame(StringValue(value="field").SerializeToString())
        trailers = await client.trailers(await client.call("fail", message))
        assert trailers["grpc-message"] == "value: is wrong: 100%25 %C3%A9"


async def test_a_reset_cancels_the_handler_and_leaves_nothing(bench):
    async with bench.client() as client:
        stream_id = await client.call("wait")
        await bench.until(lambda: bench.echo.begun == 1)
        client.h2.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
        await client.flush()
        await bench.until(lambda: bench.echo.cancelled == 1)
        await bench.until(lambda: bench.server.statistics().calls == 0)
        assert (await client.trailers(await client.call("say")))["grpc-status"] == "0"


async def test_a_disconnect_cancels_every_handler(bench):
    async with bench.client() as client:
        for _ in range(5):
            await client.call("wait")
        await bench.until(lambda: bench.echo.begun == 5)
    await bench.until(lambda: bench.echo.cancelled == 5)
    await bench.until(lambda: bench.server.statistics().connections == bench.server.statistics().calls == 0)


async def test_a_deadline_is_kept(bench):
    async with bench.client() as client:
        trailers = await client.trailers(await client.call("wait", b"", ("grpc-timeout", "50m")))
        assert (trailers["grpc-status"], trailers["error-code"]) == ("4", "deadline_exceeded")
        assert bench.echo.cancelled == 1


async def test_a_message_that_is_too_large_is_refused(bench):
    async with bench.client() as client:
        big = frame(StringValue(value="x" * 11_000).SerializeToString())
        assert (await client.trailers(await client.call("say", big)))["grpc-status"] == "8"
        lying = await client.begin("say")
        client.h2.send_data(lying, PREFIX.pack(0, 2**31), end_stream=True)
        await client.flush()
        assert (await client.trailers(lying))["grpc-status"] == "8"


async def test_gzip_is_taken_and_a_bomb_is_not(bench):
    async with bench.client() as client:
        packed = gzip.compress(StringValue(value="hi").SerializeToString())
        message = PREFIX.pack(1, len(packed)) + packed
        stream_id = await client.call("say", message, ("grpc-encoding", "gzip"))
        assert (await client.trailers(stream_id))["grpc-status"] == "0"
        bomb = gzip.compress(bytes(5_000_000))
        assert len(bomb) < 10_000
        stream_id = await client.call("say", PREFIX.pack(1, len(bomb)) + bomb, ("grpc-encoding", "gzip"))
        assert (await client.trailers(stream_id))["grpc-status"] == "8"
        stream_id = await client.call("say", PREFIX.pack(1, len(packed)) + packed, ("grpc-encoding", "snappy"))
        trailers = await client.trailers(stream_id)
        assert (trailers["grpc-status"], trailers["grpc-accept-encoding"]) == ("12", "identity,gzip")


@pytest.mark.parametrize(
    ("sent", "compressed"),
    [
        ([], False),
        ([("grpc-encoding", "identity"), ("grpc-accept-encoding", "gzip")], False),
        ([("grpc-encoding", "gzip")], True),
        ([("grpc-encoding", "gzip"), ("grpc-accept-encoding", "identity, deflate")], False),
    ],
)
async def test_who_compresses_is_answered_likewise(bench, sent, compressed):
    async with bench.client() as client:
        stream_id = await client.call("large", b"", *sent)
        trailers = await client.trailers(stream_id)
        assert trailers["grpc-status"] == "0"
        assert (trailers.get("grpc-encoding") == "gzip") is compressed
        flag, length = PREFIX.unpack_from(client.data(stream_id))
        message = client.data(stream_id)[PREFIX.size :]
        assert (flag, length) == (compressed, len(message))
        opened = gzip.decompress(message) if compressed else message
        assert StringValue.FromString(opened).value == "x" * 300_000
        short = await client.call("say", b"", *sent)
        await client.trailers(short)
        assert client.data(short)[0] == 0  # hardly worth it


@pytest.mark.parametrize("message", [b"\x00\x00\x00\x00\x02\xff\xff", b"\x00\x00\x00", frame(b"") + frame(b"")])
async def test_malformed_messages_are_internal(bench, message):
    async with bench.client() as client:
        assert (await client.trailers(await client.call("say", message)))["grpc-status"] == "13"


async def test_too_much_metadata_is_refused(bench):
    async with bench.client() as client:
        stream_id = await client.call("say", b"", ("x-long", "x" * 4_000))
        assert (await client.trailers(stream_id))["grpc-status"] == "8"


async def test_what_is_not_grpc_is_415_and_unknown_paths_unimplemented(bench):
    async with bench.client() as client:
        wrong = await client.call("say", b"", ("content-type", "application/json"))
        assert (await client.trailers(wrong))[":status"] == "415"
        unknown = await client.call("nothing")
        assert (await client.trailers(unknown))["grpc-status"] == "12"


async def test_a_client_that_says_nothing_is_cut_off(bench):
    async with await trio.open_tcp_stream("127.0.0.1", bench.server.port) as silent:
        with trio.fail_after(3):
            while await silent.receive_some():
                pass


HALF_A_HEAD = b"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82"
MORE_OF_A_HEAD = b"\x00\x00\x01\x09\x00\x00\x00\x00\x01\x86"


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        (b"", PREFACE),
        (PREFACE, b"\x00\x00\x3c\x04\x00\x00\x00\x00\x00" + bytes(60)),
        (PREFACE + SETTINGS, b"\x00\x40\x00\x00\x00\x00\x00\x00\x01" + bytes(16_384)),
        (PREFACE + SETTINGS + HALF_A_HEAD, MORE_OF_A_HEAD * 60),
    ],
    ids=["preface", "settings", "frame", "continuations"],
)
async def test_a_client_that_sends_a_byte_now_and_then_is_cut_off(bench, first, rest):
    began = trio.current_time()
    async with (
        await trio.open_tcp_stream("127.0.0.1", bench.server.port) as slow,
        trio.open_nursery() as nursery,
    ):

        async def trickle() -> None:
            for byte in rest:
                await slow.send_all(bytes([byte]))
                await trio.sleep(0.02)

        await slow.send_all(first)
        nursery.start_soon(trickle)
        with trio.fail_after(3), suppress(trio.BrokenResourceError):
            while await slow.receive_some():
                pass
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began > min(LIMITS.preface_timeout_s, LIMITS.request_s) / 2
    await bench.until(lambda: bench.server.statistics().connections == 0)


@pytest.mark.parametrize("method", ["say", "chat", "flood"])
async def test_a_message_that_comes_a_byte_now_and_then_is_ended(bench, method):
    message = frame(StringValue(value="x" * 1_000).SerializeToString())
    async with bench.client() as client:
        stream_id = await client.begin(method)
        with suppress(h2.exceptions.StreamClosedError):
            for byte in message:
                client.h2.send_data(stream_id, bytes([byte]))
                await client.flush()
                with trio.move_on_after(0.05):
                    await client.receive()
        assert (await client.trailers(stream_id))["grpc-status"] == "4"
        assert (await client.trailers(await client.call("say")))["grpc-status"] == "0"


async def test_a_stream_on_which_nothing_is_half_sent_may_be_silent(bench):
    async with bench.client() as client:
        stream_id = await client.begin("chat")
        for _ in range(2):
            client.h2.send_data(stream_id, frame(StringValue(value="hi").SerializeToString()))
            await client.flush()
            await trio.sleep(LIMITS.request_s * 2)
        client.h2.end_stream(stream_id)
        await client.flush()
        assert (await client.trailers(stream_id))["grpc-status"] == "0"


async def test_a_stream_without_its_one_message_is_ended(bench):
    async with bench.client() as client:
        assert (await client.trailers(await client.begin("flood")))["grpc-status"] == "4"


@pytest.mark.parametrize(("length", "held"), [(16_385, 100), (16_000_000, 100_000)])
async def test_a_frame_that_will_be_too_large_is_refused_at_its_beginning(bench, length, held):
    async with bench.client() as client:
        await client.stream.send_all(length.to_bytes(3, "big") + b"\x00\x00\x00\x00\x00\x01" + bytes(held))
        assert (await client.goaway()).error_code == h2.errors.ErrorCodes.FRAME_SIZE_ERROR


async def test_headers_in_many_pieces_are_held_up_to_a_bound(bench):
    async with bench.client() as client:
        piece = b"\x00\x40\x00\x09\x00\x00\x00\x00\x01" + bytes(16_384)
        await client.stream.send_all(HALF_A_HEAD + piece * 5)
        assert (await client.goaway()).error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM


async def test_garbage_is_answered_with_goaway(bench):
    async with await trio.open_tcp_stream("127.0.0.1", bench.server.port) as rude:
        await rude.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with trio.fail_after(3):
            while await rude.receive_some():
                pass
    await bench.until(lambda: bench.server.statistics().connections == 0)


async def test_rapid_resets_are_told_to_calm_down(bench):
    async with bench.client() as client:
        for _ in range(60):
            stream_id = await client.begin("wait")
            client.h2.reset_stream(stream_id)
        await client.flush()
        assert (await client.goaway()).error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
    await bench.until(lambda: bench.server.statistics().calls == 0)


async def test_a_flood_of_pings_is_told_to_calm_down(bench):
    async with bench.client() as client:
        for _ in range(60):
            client.h2.ping(b"12345678")
        await client.flush()
        assert (await client.goaway()).error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("kind", ["empty data", "priority", "unknown"])
async def test_a_flood_of_frames_that_do_nothing_is_told_to_calm_down(bench, kind):
    async with bench.client() as client:
        stream_id = await client.begin("say")
        made = {
            "empty data": DataFrame(stream_id),
            "priority": PriorityFrame(stream_id, stream_weight=1),
            "unknown": ExtensionFrame(type=0xBE, stream_id=0),
        }[kind].serialize()
        await client.stream.send_all(made * 60)
        assert (await client.goaway()).error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM


async def test_a_request_that_is_never_finished_is_ended(bench):
    async with bench.client() as client:
        half = await client.begin("say")
        client.h2.send_data(half, b"\x00\x00")
        await client.flush()
        assert (await client.trailers(half))["grpc-status"] == "4"
        assert bench.server.statistics().calls == 0
        assert (await client.trailers(await client.call("say")))["grpc-status"] == "0"


async def test_half_sent_requests_are_held_up_to_a_bound(bench):
    async with bench.client() as client:
        halves = []
        for _ in range(5):
            halves.append(await client.begin("say"))
            client.h2.send_data(halves[-1], b"x" * 9_000)
        await client.flush()
        assert (await client.trailers(halves[-1]))["grpc-status"] == "8"
        for half in halves[:2]:
            client.h2.reset_stream(half)
        await client.flush()
        big = frame(StringValue(value="x" * 9_000).SerializeToString())
        assert (await client.trailers(await client.call("say", big)))["grpc-status"] == "0"


async def test_an_answer_that_nobody_reads_is_given_up(bench):
    async with bench.client() as client:
        client.unread = frozenset({1})
        stream_id = await client.call("large")
        assert (await client.trailers(stream_id))["grpc-status"] == "4"
        assert bench.server.statistics().calls == 0


async def test_a_newcomer_takes_the_place_of_the_idlest(bench):
    async with bench.client() as first:
        assert (await first.trailers(await first.call("say")))["grpc-status"] == "0"
        async with AsyncExitStack() as stack:
            for _ in range(PLACES):
                client = await stack.enter_async_context(bench.client())
                assert (await client.trailers(await client.call("say")))["grpc-status"] == "0"
            await first.until_closed()
            assert bench.server.statistics().connections == PLACES


async def test_streams_flow_both_ways(bench):
    async with bench.client() as client:
        stream_id = await client.begin("chat")
        for word in ("one", "two"):
            client.h2.send_data(stream_id, frame(StringValue(value=word).SerializeToString()))
            await client.flush()
            await bench.until(lambda: True)
        client.h2.end_stream(stream_id)
        await client.flush()
        assert (await client.trailers(stream_id))["grpc-status"] == "0"
        expected = [frame(StringValue(value=word).SerializeToString()) for word in ("ONE", "TWO")]
        assert client.data(stream_id) == b"".join(expected)


async def test_a_reader_that_stops_holds_up_its_own_stream_only(bench):
    async with bench.client() as client:
        stream_id = await client.call("flood")
        client.unread = frozenset({stream_id})
        await bench.until(lambda: bench.echo.streamed > 3)
        await trio.sleep(0.2)
        before = bench.echo.streamed
        await trio.sleep(0.2)
        assert bench.echo.streamed == before  # its window is full, and the generator waits
        client.h2.increment_flow_control_window(1_000_000)  # the connection's, not the stream's
        await client.flush()
        assert (await client.trailers(await client.call("say")))["grpc-status"] == "0"


async def test_a_client_that_stops_reading_the_socket_is_let_go(bench):
    async with bench.client() as client:
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
        client.h2.increment_flow_control_window(2**31 - 65_536)
        await client.flush()
        await client.call("flood")
        # Nothing is read any more: buffers fill, the send times out, the connection ends.
        await bench.until(lambda: bench.server.statistics().connections == 0)
    assert bench.server.statistics().calls == 0


async def test_a_drain_says_goaway_twice_and_finishes_what_is_in_flight(bench):
    async with bench.client() as client:
        stream_id = await client.call("wait")
        await bench.until(lambda: bench.echo.begun == 1)
        bench.server.stop()
        first = await client.goaway()
        assert (first.error_code, first.last_stream_id) == (0, 2**31 - 1)
        assert (await client.goaway(2)).last_stream_id == stream_id
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", bench.server.port)
        bench.echo.gate.set()
        await client.until_closed()
        assert client.data(stream_id) == frame(StringValue(value="hi").SerializeToString())


async def test_an_idle_connection_is_closed_by_a_drain(bench):
    async with bench.client() as client:
        await client.trailers(await client.call("say"))
        bench.server.stop()
        await client.until_closed()
