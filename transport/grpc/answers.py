"""The answering half of a connection: runs its calls, and sends what they say as far as the client reads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import aclosing

import h2.errors
import h2.exceptions
import trio

from domain.errors import DeadlineExceeded
from transport.grpc.call import Burst
from transport.grpc.http2 import Http2
from transport.grpc.limits import GrpcLimits
from transport.grpc.pipeline import Pipeline
from transport.grpc.status import CLIENT_GONE, SUCCESS, trailers_of
from transport.grpc.stream import Stream, StreamMessages
from transport.grpc.writer import Writer

log = logging.getLogger(__name__)


class Answers:
    """`ended` is told of every call that is over, `unread` of every change, in bytes, of what waits to be read."""

    def __init__(
        self,
        h2_: Http2,
        writer: Writer,
        pipeline: Pipeline,
        limits: GrpcLimits,
        ended: Callable[[Stream], None],
        unread: Callable[[int], None],
    ) -> None:
        self._h2 = h2_
        self._writer = writer
        self._pipeline = pipeline
        self._limits = limits
        self._ended = ended
        self._unread = unread
        self._windows = trio.lowlevel.ParkingLot()

    def window_changed(self) -> None:
        """The client may read more, or a call has been reset."""
        self._windows.unpark_all()

    async def run(self, call: Stream) -> None:
        """Run a call to its end."""
        failure: Exception | None = None
        with call.scope:
            try:
                self._pipeline.begin(call)
                await (self._stream(call) if call.method.streaming else self._answer(call))
            except Exception as error:  # every failure of a call is told to its client, and ends there
                failure = error
        if call.scope.cancelled_caught:
            failure = CLIENT_GONE if call.reset else DeadlineExceeded()
        self.finish(call, failure)

    def finish(self, call: Stream, failure: Exception | None) -> None:
        """Tell how a call has ended, unless its client has ended it."""
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
        self._h2.acknowledge(call.stream_id, call.unacknowledged)
        self._ended(call)
        self._writer.flush()

    async def _answer(self, call: Stream) -> None:
        body = call.framed(await self._pipeline.unary(call, call.only_message()))
        if not self._send_at_once(call, body):
            await self._send(call, body)

    async def _stream(self, call: Stream) -> None:
        messages = StreamMessages(call, self._used_up)
        async with aclosing(self._pipeline.streaming(call, messages)) as answers:
            async for answer in answers:
                burst = answer if type(answer) is Burst else (answer,)
                await self._send(call, b"".join(map(call.framed, burst)))

    def _used_up(self, call: Stream) -> None:
        length, call.unacknowledged = call.unacknowledged, 0
        self._h2.acknowledge(call.stream_id, length)
        self._writer.flush()

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

    async def _send(self, call: Stream, data: bytes) -> None:
        h2_, stream_id = self._h2, call.stream_id
        view = memoryview(data)
        try:
            if not call.headers_sent:
                call.headers_sent = True
                h2_.send_headers(stream_id, call.answer_headers)
            while view and not call.reset:
                room = min(h2_.local_flow_control_window(stream_id), h2_.max_outbound_frame_size, len(view))
                if room <= 0:
                    await self._wait_for_window(len(data))
                    continue
                h2_.send_data(stream_id, view[:room].tobytes())
                view = view[room:]
                self._writer.flush()
                await self._wait_for_room(len(data))
        except h2.exceptions.ProtocolError:
            call.reset = True

    async def _wait_for_room(self, size: int) -> None:
        if self._writer.has_room():
            return
        self._unread(size)
        try:
            await self._writer.wait_for_room()
        finally:
            self._unread(-size)

    async def _wait_for_window(self, size: int) -> None:
        self._unread(size)
        try:
            with trio.move_on_after(self._limits.send_timeout_s) as timeout:
                await self._windows.park()
        finally:
            self._unread(-size)
        if timeout.cancelled_caught:
            raise DeadlineExceeded("nothing was read for too long")
