"""An HTTP/2 connection that carries gRPC calls: many in flight, few instructions each.

A load generator shares the machine with what it measures, so a call must cost little; the typed client runs on the
same. Not here, because no gRPC server needs it: priorities, pushes, frames larger than the least that all take.
"""

from __future__ import annotations

import trio
from hpack import HPACKError

from transport.client import frames
from transport.client.failures import CallFailed, NoAnswer, NotSent
from transport.client.frames import ProtocolViolation, frame
from transport.client.headers import Responses
from transport.client.outgoing import Outgoing
from transport.client.stream import MESSAGE_BYTES_MAX, WINDOW_BYTES, Stream
from transport.grpc.framing import frame as message_frame

OUR_SETTINGS = (
    (frames.HEADER_TABLE_SIZE, 0),
    (frames.ENABLE_PUSH, 0),
    (frames.INITIAL_WINDOW_SIZE, WINDOW_BYTES),
)
WINDOW_REFILL_BYTES = 2**20
WINDOW_RETURNED_BYTES = WINDOW_BYTES // 4
RECEIVE_BYTES = 256 * 1024
SILENCE_MAX_S = 15.0
"""How long a server may send nothing while it owes answers, before and again after it is asked with a PING."""


class Connection:
    """`handshake`, then `run` in a task; calls may be made by many tasks at once."""

    def __init__(self, stream: trio.abc.Stream, *, first_stream_id: int = 1) -> None:
        self._stream = stream
        self._responses = Responses()
        self._streams: dict[int, Stream] = {}
        self._next_id = first_stream_id
        self._streams_max = frames.STREAM_ID_MAX
        self._initial_room = frames.WINDOW_DEFAULT
        self._waiting_to_open = trio.lowlevel.ParkingLot()
        self._received = 0
        self._heard = False
        self._in = bytearray()
        self._outgoing = Outgoing(
            stream,
            frames.PREFACE
            + frames.settings_frame(OUR_SETTINGS)
            + frames.u32_frame(frames.WINDOW_UPDATE, 0, frames.WINDOW_MAX - frames.WINDOW_DEFAULT),
        )
        self._put = self._outgoing.put
        self._scope = trio.CancelScope()
        self._refuses: str | None = None

    @property
    def accepts(self) -> bool:
        """Whether a new call may be made on it."""
        return self._refuses is None and self._next_id <= frames.STREAM_ID_MAX

    async def handshake(self) -> None:
        """Exchange SETTINGS, so that the server's limits are known before the first call. Raises NoAnswer."""
        try:
            await self._outgoing.flush()
            while len(self._in) < frames.FRAME_HEAD_BYTES:
                self._in += await self._receive()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise NotSent("the connection broke in the handshake") from error
        if self._in[3] != frames.SETTINGS or self._in[4] & frames.ACK:
            raise NotSent("the server does not speak HTTP/2")
        try:
            self._handle_all()
        except (ProtocolViolation, HPACKError) as error:
            raise NotSent(str(error)) from error

    # Calls

    async def call(self, block: bytes, message: bytes) -> Stream:
        """Make a call of one message; returns it when it has ended. Raises NoAnswer."""
        stream = await self.open(block, whole=True)
        try:
            await self._outgoing.put_data(stream, message_frame(message), last=True)
            while not stream.ended:
                await stream.bell.wait()
        except BaseException:
            stream.cancel()
            raise
        if stream.failure is not None:
            raise stream.failure
        return stream

    async def open(self, block: bytes, *, whole: bool = False) -> Stream:
        """Begin a call, when the server's limit on streams allows it. Raises NotSent.

        Raises ValueError for a header block that is larger than one frame.
        """
        if len(block) > frames.FRAME_BYTES_MAX:
            raise ValueError("metadata larger than one frame")
        while len(self._streams) >= self._streams_max and self.accepts:
            await self._waiting_to_open.park()
        if not self.accepts:
            raise NotSent(self._refuses or "this connection has no streams left")
        stream_id = self._next_id
        self._next_id += 2
        stream = self._streams[stream_id] = Stream(
            self, self._outgoing, stream_id, self._initial_room, whole=whole
        )
        self._put(frame(frames.HEADERS, frames.END_HEADERS, stream_id, block))
        return stream

    def return_window(self, stream: Stream) -> None:
        """Let the server send more of it, where that is worth a frame."""
        if stream.unreturned > WINDOW_RETURNED_BYTES:
            self._put(frames.u32_frame(frames.WINDOW_UPDATE, stream.id, stream.unreturned))
            stream.unreturned = 0

    def cancel(self, stream: Stream, why: str = "the call was cancelled") -> None:
        """Tell the server that nobody waits for it any more."""
        self._put(frames.u32_frame(frames.RST_STREAM, stream.id, frames.CANCEL))
        self._end(stream, NoAnswer(why))

    # The connection

    async def run(self) -> None:
        """Read and write until closed; calls in flight then fail."""
        why = "the connection was closed"
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._outgoing.run)
                    nursery.start_soon(self._end_silence, nursery.cancel_scope)
                    why = await self._read()
                    nursery.cancel_scope.cancel()
        finally:
            self._refuse(why)
            for stream in list(self._streams.values()):
                self._end(stream, NoAnswer(self._refuses or why))
            await trio.aclose_forcefully(self._stream)

    async def _end_silence(self, connection: trio.CancelScope) -> None:
        while True:
            self._heard = False
            await trio.sleep(SILENCE_MAX_S)
            if self._heard or not self._streams:
                continue
            self._put(frame(frames.PING, 0, 0, bytes(8)))
            await trio.sleep(SILENCE_MAX_S)
            if not self._heard:
                self._refuse("the server has fallen silent")
                connection.cancel()

    async def _read(self) -> str:
        """Returns why there is no more to read."""
        try:
            while True:
                self._handle_all()
                self._in += await self._receive()
                self._heard = True
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return "the connection broke"
        except (ProtocolViolation, HPACKError, NoAnswer) as error:
            return str(error)

    async def _receive(self) -> bytes:
        data = await self._stream.receive_some(RECEIVE_BYTES)
        if not data:
            raise NotSent("the server closed the connection")
        return bytes(data)

    # Frames

    def _handle_all(self) -> None:
        for kind, flags, stream_id, payload in frames.take_frames(self._in):
            if self._responses.partial is not None and kind != frames.CONTINUATION:
                raise ProtocolViolation("a header block was interrupted")
            if kind == frames.HEADERS:
                self._take_headers(stream_id, flags, frames.without_padding(flags, payload))
            elif kind == frames.DATA:
                self._take_data(stream_id, flags, payload)
            else:
                self._handle_control(kind, flags, stream_id, payload)

    def _handle_control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == frames.CONTINUATION:
            if (whole := self._responses.go_on(stream_id, flags, payload)) is not None:
                self._take_block(stream_id, *whole)
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            self._apply(frames.settings_of(payload))
        elif kind == frames.PING and not flags & frames.ACK:
            self._put(frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.WINDOW_UPDATE:
            self._widen(stream_id, frames.number_of(payload))
        elif kind == frames.RST_STREAM:
            self._take_reset(stream_id, frames.error_code_of(payload))
        elif kind == frames.GOAWAY:
            self._go_away(frames.number_of(payload))
        elif kind == frames.PUSH_PROMISE:
            raise ProtocolViolation("a push, which we have disabled")

    def _apply(self, settings: list[tuple[int, int]]) -> None:
        for identifier, value in settings:
            if identifier == frames.MAX_CONCURRENT_STREAMS:
                self._streams_max = value
                self._waiting_to_open.unpark_all()
            elif identifier == frames.INITIAL_WINDOW_SIZE:
                change, self._initial_room = value - self._initial_room, value
                for stream in self._streams.values():
                    stream.room += change  # may be below zero for a while (RFC 9113, section 6.9.2)
                self._outgoing.wake_all()
        self._put(frame(frames.SETTINGS, frames.ACK, 0, b""))

    def _widen(self, stream_id: int, bytes_: int) -> None:
        if stream_id == 0:
            room = self._outgoing.widen(bytes_)
        elif (stream := self._streams.get(stream_id)) is not None:
            room = stream.room = stream.room + bytes_
            self._outgoing.wake(stream_id)
        else:
            return
        if room > frames.WINDOW_MAX:
            raise ProtocolViolation("a flow-control window beyond its maximum")

    def _take_data(self, stream_id: int, flags: int, payload: bytes) -> None:
        self._received += len(payload)
        if self._received > WINDOW_REFILL_BYTES:
            self._put(frames.u32_frame(frames.WINDOW_UPDATE, 0, self._received))
            self._received = 0
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        stream.unreturned += len(payload)
        if stream.unreturned > WINDOW_BYTES:
            raise ProtocolViolation("more than a stream's window allows")
        stream.deframer.feed(frames.without_padding(flags & frames.PADDED, payload) if flags else payload)
        if flags & frames.END_STREAM:
            self._finish(stream)
        elif not stream.whole:
            stream.bell.ring()
        elif stream.unreturned > WINDOW_RETURNED_BYTES:
            if stream.deframer.size > MESSAGE_BYTES_MAX:
                self.cancel(stream, "an answer beyond our limit")
            else:
                self.return_window(stream)

    def _take_headers(self, stream_id: int, flags: int, block: bytes) -> None:
        if flags & frames.END_HEADERS:
            self._take_block(stream_id, flags, block)
        else:
            self._responses.begin(stream_id, flags, block)

    def _take_block(self, stream_id: int, flags: int, block: bytes) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return  # cancelled meanwhile; the block is stateless and need not be decoded
        fields = self._responses.fields(block)
        stream.fields = {**stream.fields, **fields} if stream.fields else fields
        if flags & frames.END_STREAM:
            self._finish(stream)

    def _take_reset(self, stream_id: int, code: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None:
            failure = NotSent if code == frames.REFUSED_STREAM else NoAnswer
            self._end(stream, failure(f"the server reset the stream with code {code}"))

    # Ends

    def _finish(self, stream: Stream) -> None:
        failure: CallFailed | None = None
        if "grpc-status" not in stream.fields:
            failure = NoAnswer(f"HTTP {stream.fields.get(':status', '')} without a gRPC status")
        if not stream.half_closed:
            self._put(frames.u32_frame(frames.RST_STREAM, stream.id, frames.CANCEL))
        self._end(stream, failure)

    def _end(self, stream: Stream, failure: CallFailed | None) -> None:
        """Forget a call; whoever waits for a stream may have its place."""
        del self._streams[stream.id]
        stream.ended, stream.failure = True, failure
        stream.bell.ring()
        if self._waiting_to_open:
            self._waiting_to_open.unpark()
        if not stream.half_closed:
            self._outgoing.wake(stream.id)
        if not self._streams and not self.accepts:
            self._scope.cancel()

    def _go_away(self, last_stream_id: int) -> None:
        self._refuse("the server is going away")
        for stream in [each for each in self._streams.values() if each.id > last_stream_id]:
            self._end(stream, NotSent("the server is going away"))
        if not self._streams:
            self._scope.cancel()

    def _refuse(self, why: str) -> None:
        self._refuses = self._refuses or why
        self._waiting_to_open.unpark_all()
