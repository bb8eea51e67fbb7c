"""Bounds of one HTTP connection."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """A request must be answered within `request_s` of its first byte, or a stream begun.

    After our last word `linger_s` is given to the client to hear it. When the server stops, a connection that is idle
    ends if no request comes within `last_request_s`.
    """

    keep_alive_s: float = 75.0
    request_s: float = 30.0
    send_s: float = 30.0
    linger_s: float = 1.0
    last_request_s: float = 0.1
    head_max_bytes: int = 32 * 1024
    headers_max: int = 100
    body_max_bytes: int = 64 * 1024
    body_s: float = 15.0
