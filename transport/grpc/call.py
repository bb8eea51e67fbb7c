"""One call as its handler sees it: metadata, deadline, peer, caller, and trailers to send.

The same over gRPC and through the HTTP gateway; how its bytes come and go is for `transport.grpc.stream` and
`transport.gateway`.
"""

from __future__ import annotations

import math
import re
from typing import Any, Protocol

import trio

from actors.bell import Bell
from domain.policy import Principal
from transport.grpc.methods import Method
from transport.grpc.status import Headers

_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_UNIT_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


class Incoming(Protocol):
    """The messages of a client that sends several, in order.

    The call's bell rings when one has come, and at the end. What is not received is soon not sent any more.
    """

    def receive_nowait(self) -> Any:
        """The next message; raises trio.WouldBlock, and trio.EndOfChannel after the last."""


class Burst(list[Any]):
    """Several messages that a streaming handler has at once: yielded as one, they are sent as one."""


class Call:
    """Handlers take it as their argument `request`."""

    transport = "grpc"

    __slots__ = (
        "_first",
        "began_at",
        "bell",
        "draining",
        "headers",
        "method",
        "peer",
        "principal",
        "request_id",
        "scope",
        "trailers",
    )

    principal: Principal
    """Who makes it; set by authentication, where the operation is not public."""

    def __init__(self, method: Method, headers: Headers, peer: str) -> None:
        self.method = method
        self.headers = headers
        self.peer = peer
        self.scope = trio.CancelScope()
        self.trailers: Headers = []
        self.bell = Bell()
        self.draining = False
        self.request_id = ""
        self.began_at = trio.current_time()
        self._first = dict(reversed(headers))
        timeout = self._first.get(b"grpc-timeout")
        if timeout is not None:
            self.scope.deadline = self.began_at + timeout_s(timeout)

    def drain(self) -> None:
        """Ask a call that has no end of its own to come to one: its handler finds `draining` set."""
        self.draining = True
        self.bell.ring()

    @property
    def deadline(self) -> float:
        """When the client stops waiting, on Trio's clock; infinity when it did not say."""
        return self.scope.deadline

    def raw_header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return self._first.get(name)

    def header(self, name: str) -> str | None:
        """The first value of a header, as text."""
        value = self._first.get(name.encode())
        return None if value is None else value.decode("latin-1")

    def values(self, name: str) -> list[str]:
        """Every value of a header, as text."""
        raw = name.encode()
        return [value.decode("latin-1") for key, value in self.headers if key == raw]

    def set_trailer(self, name: str, value: str) -> None:
        """Send this with the status."""
        self.trailers.append((name.encode(), value.encode()))


def timeout_s(value: bytes) -> float:
    """Seconds in a `grpc-timeout`; a malformed one is as good as none."""
    match = _TIMEOUT.fullmatch(value)
    return math.inf if match is None else int(match[1]) * _UNIT_S[match[2]]
