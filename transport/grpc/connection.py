"""One gRPC connection: h2 keeps the protocol, Trio does the waiting.

A reader task turns what arrives into calls; each call runs in a task of its own, and is cancelled by the
client's reset, by its deadline, or by the connection's end. Everything is bounded: streams, metadata,
messages, what is sent and not read, the time that anything takes to come, and the frames by which a peer makes
work for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import trio

from domain.errors import DeadlineExceeded
from transport import errors
from transport.admission import AcceptedStream, peer_of
from transport.grpc.answers import Answers
from transport.grpc.framing import PREFIX
from transport.grpc.http2 import Http2
from transport.grpc.limits import Flooded, GrpcLimits, IdleFrames
from transport.grpc.methods import Method
from transport.grpc.pipeline import Pipeline
from transport.grpc.status import CLIENT_GONE, Headers, RpcFailed, trailers_of
from transport.grpc.stream import HEADERS, Stream
from transport.grpc.writer import Writer

RECEIVE_BYTES = 64 * 1024
STREAM_ID_MAX = 2**31 - 1
DRAIN_PING = b"draining"
WRONG_CONTENT_TYPE: Headers = [(b":status", b"415")]
STREAM_BYTES = 16 * 1024
"""What a call costs that has no end of its own: its tasks, its buffers."""


class GrpcConnection:
    """Serves one accepted stream.

    `methods` are by path; `counted` is told +1 and -1 for every call, `holds` how many bytes wait for the client.
    """

    def __init__(
        self,
        stream: AcceptedStream,
        methods: Mapping[bytes, Method],
        pipeline: Pipeline,
        limits: GrpcLimits,
        counted: Callable[[int], None],
    ) -> None:
        self._stream = stream
        self.peer = peer_of(stream)
        self._methods = methods
        self._pipeline = pipeline
        self._limits = limits
        self._counted = counted
        self.holds: Callable[[int], None] = lambda _: None
        self._h2 = Http2(limits)
        self._writer = Writer(stream, self._h2, limits)
        self._answers = Answers(self._h2, self._writer, pipeline, limits, self._end_call, self._count_unread)
        self._calls: dict[int, Stream] = {}
        self._half_sent = 0
        self._unread = 0
        self._streams = 0
        self.active_at = trio.current_time()
        self._idle_frames = IdleFrames(limits)
        self._settled = False
        self._drain_acknowledged = trio.Event()
        self._last_stream_id = STREAM_ID_MAX
        self._draining = False
        self._giving_up = False
        self._life = trio.CancelScope()

    async def run(self) -> None:
        """Serve until either side ends the connection."""
        try:
            with self._life:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._end_what_is_late)
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
        self._life.cancel()

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
        with trio.move_on_after(self._limits.preface_timeout_s):
            while not self._settled:
                if not await self._receive():
                    return
        while self._settled and await self._receive():
            pass

    async def _receive(self) -> bool:
        try:
            data = await self._stream.receive_some(RECEIVE_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        if not data:
            return False
        try:
            events, frames = self._h2.receive_data(bytes(data)), self._h2.incoming_buffer
            for event in events:
                self._dispatch(event)
            if frames.taken > len(events):  # some were of no consequence: for streams that are no more
                self._idle_frames.count(frames.taken - len(events))
            frames.taken = 0
        except (h2.exceptions.ProtocolError, Flooded) as error:
            await self._give_up(error)
            return False
        self._writer.flush()
        self._weigh()
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
            case h2.events.WindowUpdated():
                self._answers.window_changed()
            case h2.events.StreamReset():
                self._idle_frames.count()
                self._reset(event.stream_id)
            case _:
                self._dispatch_rare(event)

    def _dispatch_rare(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RemoteSettingsChanged():
                self._settled = True
                self._idle_frames.count()
                self._answers.window_changed()
            case h2.events.PingReceived() | h2.events.PriorityUpdated() | h2.events.UnknownFrameReceived():
                self._idle_frames.count()
            case h2.events.ConnectionTerminated():
                # To h2 that is the end, but what the client has asked for is still to be answered (RFC 9113 6.8).
                self._h2.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
                self._last_stream_id = self._h2.highest_inbound_stream_id
                self._close_when_done()
            case h2.events.PingAckReceived() if event.ping_data == DRAIN_PING:
                self._drain_acknowledged.set()

    def _begin(self, event: h2.events.RequestReceived) -> None:
        stream_id, headers = event.stream_id, event.headers
        assert stream_id is not None
        if stream_id > self._last_stream_id:
            self._h2.reset(stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        values = dict(headers)
        if not values.get(b"content-type", b"").startswith(b"application/grpc"):
            self._h2.refuse(stream_id, WRONG_CONTENT_TYPE)
            return
        path = values.get(b":path", b"")
        method = self._methods.get(path)
        if method is None:
            problem = RpcFailed(errors.UNIMPLEMENTED, f"there is no method {path.decode('latin-1')}")
            self._h2.refuse(stream_id, HEADERS + trailers_of(problem))
        elif sum(len(name) + len(value) + 32 for name, value in headers) > self._limits.metadata_max_bytes:
            most = self._limits.metadata_max_bytes
            problem = RpcFailed(errors.RESOURCE_EXHAUSTED, f"metadata may have {most} bytes at most")
            self._h2.refuse(stream_id, HEADERS + trailers_of(problem))
        else:
            self._begin_call(Stream(stream_id, headers, method, self.peer, self._limits.message_max_bytes))

    def _begin_call(self, call: Stream) -> None:
        if not self._calls:
            self.active_at = trio.current_time()
        self._calls[call.stream_id] = call
        self._counted(1)
        if self._draining:
            call.drain()
        if call.method.streaming:
            self._streams += 1
            self._nursery.start_soon(self._answers.run, call)

    def _take_data(self, event: h2.events.DataReceived) -> None:
        stream_id, length = event.stream_id, event.flow_controlled_length
        assert stream_id is not None
        assert length is not None
        if not event.data:
            self._idle_frames.count()
        call = self._calls.get(stream_id)
        if call is None:
            self._h2.acknowledge(stream_id, length)
            return
        call.deframer.feed(event.data)
        if call.is_running:
            call.unacknowledged += length
            call.bell.ring()
            return
        self._h2.acknowledge(stream_id, length)
        call.held += len(event.data)
        self._half_sent += len(event.data)
        if call.held > self._limits.message_max_bytes + PREFIX.size:
            self._answers.finish(call, RpcFailed(errors.RESOURCE_EXHAUSTED, "the message is too large"))
        elif self._half_sent > self._limits.held_max_bytes:
            problem = RpcFailed(errors.RESOURCE_EXHAUSTED, "too much is half sent on this connection")
            self._answers.finish(call, problem)

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
            self._nursery.start_soon(self._answers.run, call)

    def _reset(self, stream_id: int | None) -> None:
        call = self._calls.get(stream_id or 0)
        if call is None:
            return
        call.reset = True
        call.scope.cancel()
        self._answers.window_changed()
        if not call.is_running:
            self._answers.finish(call, CLIENT_GONE)

    # What waits for the client, and for how long

    def _let_go(self, call: Stream) -> None:
        self._half_sent -= call.held
        call.held = 0

    def _count_unread(self, change: int) -> None:
        self._unread += change
        self._weigh()

    def _weigh(self) -> None:
        waiting = self._half_sent + self._unread + self._h2.incoming_buffer.size + self._writer.size
        self.holds(waiting + STREAM_BYTES * self._streams)

    async def _end_what_is_late(self) -> None:
        while True:
            await trio.sleep(self._limits.request_s / 2)
            late = trio.current_time() - self._limits.request_s
            half_since = self._h2.incoming_buffer.half_since
            if half_since is not None and half_since < late:
                self._h2.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
                self._writer.end()
            for call in [each for each in self._calls.values() if each.is_half_since(late)]:
                if call.is_running:
                    call.scope.cancel()
                else:
                    self._answers.finish(call, DeadlineExceeded("the request did not come in time"))

    # Ending

    def _end_call(self, call: Stream) -> None:
        self._let_go(call)
        if self._calls.pop(call.stream_id, None) is not None:
            self._counted(-1)
            self._streams -= call.method.streaming
            self.active_at = trio.current_time()
        self._close_when_done()

    async def _write(self) -> None:
        await self._writer.run()
        if not self._giving_up:
            self._life.cancel()

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
