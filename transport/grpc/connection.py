"""One gRPC connection: h2 keeps the protocol, Trio does the waiting.

A reader task turns what arrives into calls; each call runs in a task of its own, and is cancelled by the
client's reset, by its deadline, or by the connection's end. Everything is bounded: streams, metadata,
messages, what is sent and not read, and the frames by which a peer makes work for nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import trio

from domain.errors import DeadlineExceeded
from transport import errors
from transport.grpc.call import Burst
from transport.grpc.framing import PREFIX
from transport.grpc.hpack import ConstantEncoder
from transport.grpc.limits import Flooded, GrpcLimits, IdleFrames
from transport.grpc.methods import Method
from transport.grpc.pipeline import Pipeline
from transport.grpc.status import CLIENT_GONE, SUCCESS, Headers, RpcFailed, trailers_of
from transport.grpc.stream import HEADERS, Stream, StreamMessages
from transport.grpc.writer import Writer

log = logging.getLogger(__name__)

RECEIVE_BYTES = 64 * 1024
STREAM_ID_MAX = 2**31 - 1
DRAIN_PING = b"draining"
WRONG_CONTENT_TYPE: Headers = [(b":status", b"415")]

CONFIG = h2.config.H2Configuration(
    client_side=False,
    header_encoding=None,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
)


class _H2(h2.connection.H2Connection):
    """h2, remembering fewer of the streams that have ended than the 65,536 it would."""

    MAX_CLOSED_STREAMS = 1_024


class GrpcConnection:
    """Serves one accepted stream. `methods` are by path; `counted` is told +1 and -1 for every call."""

    def __init__(
        self,
        stream: trio.SocketStream | trio.SSLStream[trio.SocketStream],
        methods: Mapping[bytes, Method],
        pipeline: Pipeline,
        limits: GrpcLimits,
        counted: Callable[[int], None],
    ) -> None:
        self._stream = stream
        self._methods = methods
        self._pipeline = pipeline
        self._limits = limits
        self._counted = counted
        self._peer = _peer_name(stream)
        self._h2 = _H2(CONFIG)
        self._h2.encoder = ConstantEncoder()  # type: ignore[assignment]
        self._calls: dict[int, Stream] = {}
        self._held = 0
        self.active_at = trio.current_time()
        self._writer = Writer(stream, self._h2, limits)
        self._idle_frames = IdleFrames(limits)
        self._windows = trio.lowlevel.ParkingLot()
        self._drain_acknowledged = trio.Event()
        self._last_stream_id = STREAM_ID_MAX
        self._draining = False
        self._giving_up = False

    async def run(self) -> None:
        """Serve until either side ends the connection."""
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self._limits.streams_max,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: self._limits.metadata_max_bytes,
            },
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(self._limits.window_bytes)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._write)
                nursery.start_soon(self._end_half_sent)
                await self._read()
                for call in self._calls.values():
                    call.reset = True
                nursery.cancel_scope.cancel()
        finally:
            for call in self._calls.values():
                self._pipeline.ended(call, CLIENT_GONE)
            self._counted(-len(self._calls))
            self._calls.clear()
            await trio.aclose_forcefully(self._stream)

    @property
    def is_idle(self) -> bool:
        """Whether no call is in flight; since `active_at`."""
        return not self._calls

    def end(self) -> None:
        """End at once."""
        self._nursery.cancel_scope.cancel()

    async def drain(self) -> None:
        """Say goodbye as RFC 9113 6.8 asks: all may come; a round trip later, no more than has come."""
        self._draining = True
        for call in self._calls.values():
            call.drain()
        self._writer.goaway(STREAM_ID_MAX)
        self._h2.ping(DRAIN_PING)
        self._writer.flush()
        with trio.move_on_after(self._limits.drain_round_trip_s):
            await self._drain_acknowledged.wait()
        self._last_stream_id = self._h2.highest_inbound_stream_id
        self._writer.goaway(self._last_stream_id)
        self._writer.flush()
        self._close_when_done()

    # Reading

    async def _read(self) -> None:
        with trio.move_on_after(self._limits.preface_timeout_s) as preface:
            if not await self._receive():
                return
        if preface.cancelled_caught:
            return
        while await self._receive():
            pass

    async def _receive(self) -> bool:
        try:
            data = await self._stream.receive_some(RECEIVE_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        if not data:
            return False
        try:
            for event in self._h2.receive_data(bytes(data)):
                self._dispatch(event)
        except (h2.exceptions.ProtocolError, Flooded) as error:
            await self._give_up(error)
            return False
        self._writer.flush()
        await self._writer.wait_for_room()
        return True

    def _dispatch(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self._begin(event)
            case h2.events.DataReceived():
                self._take_data(event)
            case h2.events.StreamEnded():
                self._half_close(event.stream_id)
            case h2.events.StreamReset():
                self._idle_frames.count()
                call = self._calls.get(event.stream_id or 0)
                if call is not None:
                    call.reset = True
                    call.scope.cancel()
                    self._windows.unpark_all()
                    if not call.is_running:
                        self._finish(call, CLIENT_GONE)
            case h2.events.WindowUpdated():
                self._windows.unpark_all()
            case h2.events.RemoteSettingsChanged():
                self._idle_frames.count()
                self._windows.unpark_all()
            case h2.events.PingReceived() | h2.events.PriorityUpdated() | h2.events.UnknownFrameReceived():
                self._idle_frames.count()
            case h2.events.ConnectionTerminated():
                # To h2 that is the end, but what the client has asked for is still to be answered (RFC 9113 6.8).
                self._h2.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
                self._last_stream_id = self._h2.highest_inbound_stream_id
                self._close_when_done()
            case h2.events.PingAckReceived():
                if event.ping_data == DRAIN_PING:
                    self._drain_acknowledged.set()

    def _begin(self, event: h2.events.RequestReceived) -> None:
        stream_id, headers = event.stream_id, event.headers
        assert stream_id is not None
        if stream_id > self._last_stream_id:
            self._h2.reset_stream(stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        values = dict(headers)
        if not values.get(b"content-type", b"").startswith(b"application/grpc"):
            self._h2.send_headers(stream_id, WRONG_CONTENT_TYPE, end_stream=True)
            return
        method = self._methods.get(values.get(b":path", b""))
        problem = None
        if method is None:
            path = values.get(b":path", b"").decode("latin-1")
            problem = RpcFailed(errors.UNIMPLEMENTED, f"there is no method {path}")
        elif sum(len(name) + len(value) + 32 for name, value in headers) > self._limits.metadata_max_bytes:
            problem = RpcFailed(
                errors.RESOURCE_EXHAUSTED, f"metadata may have {self._limits.metadata_max_bytes} bytes at most"
            )
        if problem is not None or method is None:
            assert problem is not None
            self._h2.send_headers(stream_id, HEADERS + trailers_of(problem), end_stream=True)
            self._h2.reset_stream(stream_id, h2.errors.ErrorCodes.NO_ERROR)
            return
        call = Stream(stream_id, headers, method, self._peer, self._limits.message_max_bytes)
        self._calls[stream_id] = call
        self._counted(1)
        if self._draining:
            call.drain()
        if method.streaming:
            self._nursery.start_soon(self._run_streaming, call)

    def _take_data(self, event: h2.events.DataReceived) -> None:
        stream_id, length = event.stream_id, event.flow_controlled_length
        assert stream_id is not None
        assert length is not None
        if not event.data:
            self._idle_frames.count()
        call = self._calls.get(stream_id)
        if call is None:
            self._acknowledge(stream_id, length)
            return
        call.deframer.feed(event.data)
        if call.is_running:
            call.unacknowledged += length
            call.bell.ring()
            return
        self._acknowledge(stream_id, length)
        call.held += len(event.data)
        self._held += len(event.data)
        if call.held > self._limits.message_max_bytes + PREFIX.size:
            self._finish(call, RpcFailed(errors.RESOURCE_EXHAUSTED, "the message is too large"))
        elif self._held > self._limits.held_max_bytes:
            self._finish(call, RpcFailed(errors.RESOURCE_EXHAUSTED, "too much is half sent on this connection"))

    def _half_close(self, stream_id: int | None) -> None:
        call = self._calls.get(stream_id or 0)
        if call is None:
            return
        running = call.is_running
        call.half_closed = True
        self._let_go(call)
        if running:
            call.bell.ring()
        else:
            self._nursery.start_soon(self._run_unary, call)

    def _acknowledge(self, stream_id: int, length: int) -> None:
        if length:
            self._h2.acknowledge_received_data(length, stream_id)

    def _let_go(self, call: Stream) -> None:
        self._held -= call.held
        call.held = 0

    async def _end_half_sent(self) -> None:
        while True:
            await trio.sleep(self._limits.request_s / 2)
            late = trio.current_time() - self._limits.request_s
            for call in [each for each in self._calls.values() if each.began_at < late]:
                if not call.is_running:
                    self._finish(call, DeadlineExceeded("the request did not come in time"))

    # Calls

    async def _run_unary(self, call: Stream) -> None:
        failure: Exception | None = None
        with call.scope:
            try:
                self._pipeline.begin(call)
                response = await self._pipeline.unary(call, call.only_message())
                body = call.framed(response)
                if not self._send_at_once(call, body):
                    await self._send_data(call, body)
            except Exception as error:  # every failure of a call is told to its client, and ends there
                failure = error
        if call.scope.cancelled_caught:
            failure = CLIENT_GONE if call.reset else DeadlineExceeded()
        self._finish(call, failure)

    async def _run_streaming(self, call: Stream) -> None:
        failure: Exception | None = None
        with call.scope:
            try:
                self._pipeline.begin(call)
                await self._stream_through(call)
            except Exception as error:  # as above
                failure = error
        if call.scope.cancelled_caught:
            failure = CLIENT_GONE if call.reset else DeadlineExceeded()
        self._finish(call, failure)

    async def _stream_through(self, call: Stream) -> None:
        messages = StreamMessages(call, self._used_up)
        async with aclosing(self._pipeline.streaming(call, messages)) as answers:
            async for answer in answers:
                burst = answer if type(answer) is Burst else (answer,)
                await self._send_data(call, b"".join(map(call.framed, burst)))

    def _used_up(self, call: Stream) -> None:
        length, call.unacknowledged = call.unacknowledged, 0
        self._acknowledge(call.stream_id, length)
        self._writer.flush()

    # Sending

    def _send_at_once(self, call: Stream, body: bytes) -> bool:
        """Headers and body in one go, where the peer's window has room for it."""
        h2_, stream_id = self._h2, call.stream_id
        try:
            room = min(h2_.local_flow_control_window(stream_id), h2_.max_outbound_frame_size)
            if len(body) > room:
                return False
            h2_.send_headers(stream_id, call.answer_headers)
            h2_.send_data(stream_id, body)
        except h2.exceptions.ProtocolError:  # the stream or the connection went away
            call.reset = True
        call.headers_sent = True
        return True

    async def _send_data(self, call: Stream, data: bytes) -> None:
        h2_, stream_id = self._h2, call.stream_id
        view = memoryview(data)
        try:
            if not call.headers_sent:
                call.headers_sent = True
                h2_.send_headers(stream_id, call.answer_headers)
            while view and not call.reset:
                room = min(h2_.local_flow_control_window(stream_id), h2_.max_outbound_frame_size, len(view))
                if room <= 0:
                    await self._wait_for_window()
                    continue
                h2_.send_data(stream_id, view[:room].tobytes())
                view = view[room:]
                self._writer.flush()
                await self._writer.wait_for_room()
        except h2.exceptions.ProtocolError:
            call.reset = True

    async def _wait_for_window(self) -> None:
        with trio.move_on_after(self._limits.send_timeout_s) as timeout:
            await self._windows.park()
        if timeout.cancelled_caught:
            raise DeadlineExceeded("nothing was read for too long")

    def _finish(self, call: Stream, failure: Exception | None) -> None:
        self._pipeline.ended(call, failure)
        if not call.reset:
            trailers = SUCCESS if failure is None else trailers_of(failure, call.request_id)
            if call.trailers:
                trailers = trailers + call.trailers
            try:
                headers = trailers if call.headers_sent else call.answer_headers + trailers
                self._h2.send_headers(call.stream_id, headers, end_stream=True)
                if not call.half_closed:
                    self._h2.reset_stream(call.stream_id, h2.errors.ErrorCodes.NO_ERROR)
            except h2.exceptions.ProtocolError:
                log.debug("stream %d was gone before its end", call.stream_id)
        self._end(call)
        self._writer.flush()

    def _end(self, call: Stream) -> None:
        if call.unacknowledged:
            self._acknowledge(call.stream_id, call.unacknowledged)
        self._let_go(call)
        if self._calls.pop(call.stream_id, None) is not None:
            self._counted(-1)
            self.active_at = trio.current_time()
        self._close_when_done()

    # Ending

    async def _write(self) -> None:
        await self._writer.run()
        if not self._giving_up:
            self._nursery.cancel_scope.cancel()

    async def _give_up(self, error: Exception) -> None:
        self._giving_up = True
        if isinstance(error, Flooded):
            self._h2.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
        for call in self._calls.values():
            call.reset = True
        # What the peer has sent and we have not read would turn our closing into a reset, and the reset would
        # overtake the GOAWAY that says why.
        with trio.move_on_after(self._limits.drain_round_trip_s):
            await self._writer.wait_ended()
            try:
                if isinstance(self._stream, trio.SocketStream):
                    await self._stream.send_eof()
                while await self._stream.receive_some(RECEIVE_BYTES):
                    pass
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    def _close_when_done(self) -> None:
        if self._last_stream_id != STREAM_ID_MAX and not self._calls:
            self._writer.end()


def _peer_name(stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> str:
    socket = stream.socket if isinstance(stream, trio.SocketStream) else stream.transport_stream.socket
    try:
        return str(socket.getpeername()[0])
    except (OSError, IndexError):
        return ""
