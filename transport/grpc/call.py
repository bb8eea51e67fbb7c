"""One call as its handler sees it: metadata, deadline, peer, and trailers to send."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import trio

from transport import errors
from transport.grpc.framing import Deframer
from transport.grpc.status import Headers, RpcFailed

_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_UNIT_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


class Method(NamedTuple):
    """A method of a service, looked up by its path."""

    handler: Callable[..., Any]
    parse: Callable[[bytes], Any]
    client_streaming: bool
    server_streaming: bool


class Call:
    """Made by the connection; handlers take it as their argument `request`."""

    __slots__ = (
        "arrival",
        "began_at",
        "deframer",
        "half_closed",
        "headers",
        "headers_sent",
        "held",
        "method",
        "peer",
        "reset",
        "scope",
        "stream_id",
        "trailers",
        "unacknowledged",
    )

    def __init__(
        self, stream_id: int, headers: Headers, method: Method, peer: str, message_max_bytes: int
    ) -> None:
        self.stream_id = stream_id
        self.headers = headers
        self.method = method
        self.peer = peer
        self.scope = trio.CancelScope()
        self.trailers: Headers = []
        self.deframer = Deframer(message_max_bytes, self.raw_header(b"grpc-encoding"))
        self.half_closed = False
        self.headers_sent = False
        self.reset = False
        self.unacknowledged = 0
        self.held = 0
        self.began_at = trio.current_time()
        self.arrival: trio.Event | None = None
        timeout = self.raw_header(b"grpc-timeout")
        if timeout is not None:
            self.scope.deadline = trio.current_time() + timeout_s(timeout)

    @property
    def deadline(self) -> float:
        """When the client stops waiting, on Trio's clock; infinity when it did not say."""
        return self.scope.deadline

    def raw_header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def header(self, name: str) -> str | None:
        """The first value of a header, as text."""
        value = self.raw_header(name.encode())
        return None if value is None else value.decode("latin-1")

    def values(self, name: str) -> list[str]:
        """Every value of a header, as text."""
        raw = name.encode()
        return [value.decode("latin-1") for key, value in self.headers if key == raw]

    def set_trailer(self, name: str, value: str) -> None:
        """Send this with the status."""
        self.trailers.append((name.encode(), value.encode()))

    def only_message(self) -> Any:
        """The request of a call that has exactly one."""
        raw = self.deframer.next()
        if raw is None or not self.deframer.is_empty:
            raise RpcFailed(errors.INTERNAL, "the request must be exactly one message")
        return self.parse(raw)

    def parse(self, raw: bytes) -> Any:
        """A message of the method's request type."""
        try:
            return self.method.parse(raw)
        except Exception:  # protobuf's own class differs between its implementations
            raise RpcFailed(errors.INTERNAL, "the message is not valid protobuf") from None

    def arrived(self) -> None:
        """Wake the handler's reading."""
        if self.arrival is not None:
            self.arrival.set()


def timeout_s(value: bytes) -> float:
    """Seconds in a `grpc-timeout`; a malformed one is as good as none."""
    match = _TIMEOUT.fullmatch(value)
    return math.inf if match is None else int(match[1]) * _UNIT_S[match[2]]
