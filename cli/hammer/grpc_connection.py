"""A frugal gRPC connection: unary calls, many in flight on one HTTP/2 connection, few instructions each.

Request headers are literals made once; a header table of size 0 makes every response block stateless (RFC
7541, section 4.2), so that blocks seen before need no decoding. A call returns its headers and trailers, not
its message. Not here, because load does not need it: streaming, TLS, messages larger than one frame.
"""

from __future__ import annotations

import struct
from typing import Any

import outcome
import trio
from hpack import Decoder, HPACKError

from cli.hammer import frames
from cli.hammer.frames import ProtocolViolation, frame

OUR_SETTINGS = (
    (frames.HEADER_TABLE_SIZE, 0),
    (frames.ENABLE_PUSH, 0),
    (frames.INITIAL_WINDOW_SIZE, frames.WINDOW_MAX),
)
WINDOW_REFILL_BYTES = 2**20
RECEIVE_BYTES = 256 * 1024
HEADER_BLOCK_BYTES_MAX = 64 * 1024
BLOCKS_REMEMBERED = 1_000
MESSAGE_BYTES_MAX = frames.FRAME_BYTES_MAX - 5

_PREFIX = struct.Struct("!BI")

Trailers = dict[str, str]


class GrpcFailed(Exception):
    """The connection or the stream ended without a status."""


class NotSent(GrpcFailed):
    """This connection takes no more calls; nothing of this one was sent, so another may carry it."""


def header_block(authority: str, path: str, metadata: dict[str, str]) -> bytes:
    """For calls of one method with the same metadata; `frames.literal` may be appended to it."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
        **metadata,
    }
    return b"".join(frames.literal(name, value) for name, value in fields.items())


class GrpcConnection:
    """One connection: `handshake`, then `run` in a task; `call` may be awaited by many tasks at once."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, *, first_stream_id: int = 1) -> None:
        self._stream = stream
        self._decoder = Decoder()
        self._decoder.max_allowed_table_size = self._decoder.header_table_size = 0
        self._blocks: dict[bytes, Trailers] = {}
        self._calls: dict[int, trio.lowlevel.Task] = {}
        self._headers: dict[int, Trailers] = {}
        self._next_id = first_stream_id
        self._streams_max = frames.STREAM_ID_MAX
        self._message_max = MESSAGE_BYTES_MAX
        self._send_window = frames.WINDOW_DEFAULT
        self._room = trio.lowlevel.ParkingLot()
        self._received = 0
        self._in = bytearray()
        self._out = bytearray(
            frames.PREFACE
            + frames.settings_frame(OUR_SETTINGS)
            + frames.u32_frame(frames.WINDOW_UPDATE, 0, frames.WINDOW_MAX - frames.WINDOW_DEFAULT)
        )
        self._wake = trio.Event()
        self._scope = trio.CancelScope()
        self._refuses: str | None = None
        self._partial: tuple[int, int, bytes] | None = None

    @property
    def accepts(self) -> bool:
        """Whether a new call may be made on it."""
        return self._refuses is None and self._next_id <= frames.STREAM_ID_MAX

    async def handshake(self) -> None:
        """Exchange SETTINGS, so that the server's limits are known before the first call. Raises GrpcFailed."""
        try:
            data, self._out = self._out, bytearray()
            await self._stream.send_all(data)
            while len(self._in) < frames.FRAME_HEAD_BYTES:
                self._in += await self._receive()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise GrpcFailed("the connection broke in the handshake") from error
        if self._in[3] != frames.SETTINGS or self._in[4] & frames.ACK:
            raise GrpcFailed("the server does not speak HTTP/2")
        try:
            self._handle_all()
        except (ProtocolViolation, HPACKError) as error:
            raise GrpcFailed(str(error)) from error

    async def call(self, block: bytes, message: bytes) -> Trailers:
        """Make a call; returns headers and trailers together. Raises GrpcFailed, ValueError if too large."""
        if len(message) > MESSAGE_BYTES_MAX or len(block) > frames.FRAME_BYTES_MAX:
            raise ValueError("a message or header block larger than one frame")
        body = _PREFIX.pack(0, len(message)) + message
        while self.accepts and (len(self._calls) >= self._streams_max or self._send_window < len(body)):
            await self._room.park()
        if not self.accepts:
            raise NotSent(self._refuses or "this connection has no streams left")
        if len(message) > self._message_max:
            raise GrpcFailed(f"the server takes no more than {self._message_max} bytes at once")
        self._send_window -= len(body)
        stream_id = self._next_id
        self._next_id += 2
        self._out += frame(frames.HEADERS, frames.END_HEADERS, stream_id, block)
        self._out += frame(frames.DATA, frames.END_STREAM, stream_id, body)
        self._wake.set()
        self._calls[stream_id] = trio.lowlevel.current_task()

        def abort(_: Any) -> trio.lowlevel.Abort:
            self._send(frames.u32_frame(frames.RST_STREAM, stream_id, frames.CANCEL))
            self._pop(stream_id)
            return trio.lowlevel.Abort.SUCCEEDED

        result: Trailers = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    async def run(self) -> None:
        """Read and write until closed; calls in flight then fail."""
        why = "the connection was closed"
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    why = await self._read()
                    nursery.cancel_scope.cancel()
        finally:
            self._refuse(why)
            for stream_id in list(self._calls):
                self._fail(stream_id, why)
            await trio.aclose_forcefully(self._stream)

    async def _write(self) -> None:
        while True:
            if not self._out:
                self._wake = trio.Event()
                await self._wake.wait()
            data, self._out = self._out, bytearray()
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return  # the reader meets the end of it too, after what was still answered

    async def _read(self) -> str:
        """Returns why there is no more to read."""
        try:
            while True:
                self._handle_all()
                self._in += await self._receive()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return "the connection broke"
        except (ProtocolViolation, HPACKError, GrpcFailed) as error:
            return str(error)

    async def _receive(self) -> bytes:
        data = await self._stream.receive_some(RECEIVE_BYTES)
        if not data:
            raise GrpcFailed("the server closed the connection")
        return bytes(data)

    def _handle_all(self) -> None:
        for kind, flags, stream_id, payload in frames.take_frames(self._in):
            if self._partial is not None and kind != frames.CONTINUATION:
                raise ProtocolViolation("a header block was interrupted")
            if kind == frames.HEADERS:
                self._take_block(stream_id, flags, frames.without_padding(flags, payload))
            elif kind == frames.DATA:
                self._take_data(stream_id, flags, len(payload))
            else:
                self._handle_control(kind, flags, stream_id, payload)

    def _handle_control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == frames.CONTINUATION:
            self._take_continuation(stream_id, flags, payload)
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            self._apply(frames.settings_of(payload))
        elif kind == frames.PING and not flags & frames.ACK:
            self._send(frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.WINDOW_UPDATE and stream_id == 0:
            self._send_window += frames.number_of(payload)
            if self._send_window > frames.WINDOW_MAX:
                raise ProtocolViolation("a flow-control window beyond its maximum")
            self._room.unpark_all()
        elif kind == frames.RST_STREAM:
            self._fail(stream_id, f"the server reset the stream with code {frames.error_code_of(payload)}")
        elif kind == frames.GOAWAY:
            self._go_away(frames.number_of(payload))
        elif kind == frames.PUSH_PROMISE:
            raise ProtocolViolation("a push, which we have disabled")

    def _apply(self, settings: list[tuple[int, int]]) -> None:
        for identifier, value in settings:
            if identifier == frames.MAX_CONCURRENT_STREAMS:
                self._streams_max = value
            elif identifier == frames.INITIAL_WINDOW_SIZE:
                self._message_max = min(MESSAGE_BYTES_MAX, value - _PREFIX.size)
        self._room.unpark_all()
        self._send(frame(frames.SETTINGS, frames.ACK, 0, b""))

    def _take_data(self, stream_id: int, flags: int, length: int) -> None:
        self._received += length
        if self._received > WINDOW_REFILL_BYTES:
            self._send(frames.u32_frame(frames.WINDOW_UPDATE, 0, self._received))
            self._received = 0
        if flags & frames.END_STREAM:
            self._finish(stream_id)

    def _take_continuation(self, stream_id: int, flags: int, payload: bytes) -> None:
        if self._partial is None or self._partial[0] != stream_id:
            raise ProtocolViolation("a continuation of nothing")
        _, first_flags, block = self._partial
        self._take_block(stream_id, first_flags | flags & frames.END_HEADERS, block + payload)

    def _take_block(self, stream_id: int, flags: int, block: bytes) -> None:
        if len(block) > HEADER_BLOCK_BYTES_MAX:
            raise ProtocolViolation("a header block beyond our limit")
        if not flags & frames.END_HEADERS:
            self._partial = (stream_id, flags, block)
            return
        self._partial = None
        if stream_id not in self._calls:
            return  # cancelled meanwhile; the block is stateless and need not be decoded
        fields = self._blocks.get(block)
        if fields is None:
            fields = {str(name): str(value) for name, value in self._decoder.decode(block)}
            if len(self._blocks) < BLOCKS_REMEMBERED:
                self._blocks[block] = fields
        earlier = self._headers.get(stream_id)
        self._headers[stream_id] = {**earlier, **fields} if earlier else fields
        if flags & frames.END_STREAM:
            self._finish(stream_id)

    def _finish(self, stream_id: int) -> None:
        received = self._headers.get(stream_id, {})
        if "grpc-status" not in received:
            self._fail(stream_id, f"HTTP {received.get(':status', '')} without a gRPC status")
        elif (task := self._pop(stream_id)) is not None:
            trio.lowlevel.reschedule(task, outcome.Value(received))

    def _fail(self, stream_id: int, why: str) -> None:
        task = self._pop(stream_id)
        if task is not None:
            trio.lowlevel.reschedule(task, outcome.Error(GrpcFailed(why)))

    def _pop(self, stream_id: int) -> trio.lowlevel.Task | None:
        """Forget a call; whoever waits for a stream may have its place."""
        self._headers.pop(stream_id, None)
        task = self._calls.pop(stream_id, None)
        self._room.unpark()
        if not self._calls and not self.accepts:
            self._scope.cancel()
        return task

    def _go_away(self, last_stream_id: int) -> None:
        self._refuse("the server is going away")
        for stream_id in [each for each in self._calls if each > last_stream_id]:
            self._fail(stream_id, "the server is going away")
        if not self._calls:
            self._scope.cancel()

    def _refuse(self, why: str) -> None:
        self._refuses = self._refuses or why
        self._room.unpark_all()

    def _send(self, data: bytes) -> None:
        self._out += data
        self._wake.set()
