"""One call as its connection sees it: an HTTP/2 stream, and what has come on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from transport import errors
from transport.grpc.call import Call
from transport.grpc.framing import ACCEPTED, GZIP, Deframer, frame
from transport.grpc.methods import Method
from transport.grpc.status import Headers, RpcFailed

HEADERS: Headers = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_ACCEPT: Headers = [*HEADERS, (b"grpc-accept-encoding", ACCEPTED)]
_GZIP: Headers = [*_ACCEPT, (b"grpc-encoding", GZIP)]


class Stream(Call):
    """Made by the connection, which alone changes what is here."""

    __slots__ = (
        "answer_headers",
        "compressed",
        "deframer",
        "half_closed",
        "half_since",
        "headers_sent",
        "held",
        "reset",
        "stream_id",
        "unacknowledged",
    )

    def __init__(
        self, stream_id: int, headers: Headers, method: Method, peer: str, message_max_bytes: int
    ) -> None:
        super().__init__(method, headers, peer)
        self.stream_id = stream_id
        encoding = self.raw_header(b"grpc-encoding")
        self.deframer = Deframer(message_max_bytes, encoding)
        # Who compresses is answered likewise; who compresses otherwise is told what we can read.
        self.compressed = encoding == GZIP and GZIP in (self.raw_header(b"grpc-accept-encoding") or GZIP)
        plain = HEADERS if encoding in (None, b"identity") else _ACCEPT
        self.answer_headers = _GZIP if self.compressed else plain
        self.half_closed = False
        self.half_since: float | None = None
        self.headers_sent = False
        self.reset = False
        self.unacknowledged = 0
        self.held = 0

    @property
    def is_running(self) -> bool:
        """Whether its handler has been started: with the first byte where it streams, else with the last."""
        return self.half_closed or self.method.streaming

    def is_half_since(self, then: float) -> bool:
        """Whether its one message, or one of several, has been coming since then and is not whole."""
        since = self.half_since if self.method.client_streaming else self.began_at
        return not self.half_closed and since is not None and since < then

    def framed(self, message: Any) -> bytes:
        """A message of the answer, as it is sent."""
        return frame(message.SerializeToString(), compress=self.compressed)

    def only_message(self) -> Any:
        """The request of a call that has exactly one."""
        raw = self.deframer.next()
        if raw is None or not self.deframer.is_empty:
            raise RpcFailed(errors.INTERNAL, "the request must be exactly one message")
        return self.parse(raw)

    def parse(self, raw: bytes) -> Any:
        """A message of the method's request type."""
        try:
            return self.method.request_type.FromString(raw)
        except Exception:  # protobuf's own class differs between its implementations
            raise RpcFailed(errors.INTERNAL, "the message is not valid protobuf") from None


class StreamMessages:
    """The messages of a stream (`Incoming`). `used_up` is told when all that has come has been received."""

    def __init__(self, stream: Stream, used_up: Callable[[Stream], None]) -> None:
        self._stream = stream
        self._used_up = used_up

    def receive_nowait(self) -> Any:
        """The next message; raises trio.WouldBlock, and trio.EndOfChannel after the last."""
        stream = self._stream
        raw = stream.deframer.next()
        if raw is not None:
            stream.half_since = None
            return stream.parse(raw)
        if stream.half_since is None and not stream.deframer.is_empty:
            stream.half_since = trio.current_time()
        # Only now may the client send more: what it has sent is used up, or part of a message.
        self._used_up(stream)
        if not stream.half_closed:
            raise trio.WouldBlock
        if not stream.deframer.is_empty:
            raise RpcFailed(errors.INTERNAL, "the last message is not whole")
        raise trio.EndOfChannel
