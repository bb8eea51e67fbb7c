"""The head of a request, taken only as RFC 9112 writes it: what two readers could read differently is refused.

A proxy in front of us that reads a request's end elsewhere than we do would take the rest of it for somebody else's.
h11 forgives more than that allows: line feeds alone, folded lines, both framings at once.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import h11

BAD_LINES = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|\n[ \t]")
LENGTHS = re.compile(rb"\ncontent-length:([^\r]*)", re.IGNORECASE)
HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+;=:\[\]%-]*")
ABSOLUTE = re.compile(rb"https?://[^/?#@]+(?=[/?]|\Z)", re.IGNORECASE)
END = b"\r\n\r\n"


class StrictConnection(h11.Connection):
    """h11's, that raises RemoteProtocolError for more."""

    def __init__(self, head_max_bytes: int, headers_max: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=head_max_bytes)
        self._head_max_bytes = head_max_bytes
        self._headers_max = headers_max
        self._looked_at = 0

    def next_event(self) -> Any:
        """The next event, when it is what it should be."""
        if self.their_state is h11.IDLE:
            self._look_at_lines()
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._looked_at = 0
            self._check(event)
        return event

    def _look_at_lines(self) -> None:
        # Once over what has come, however small the pieces are that it comes in.
        data = self.trailing_data[0]
        end = data.find(END, max(0, self._looked_at - len(END)))
        end = len(data) if end < 0 else end + len(END)
        if BAD_LINES.search(data, self._looked_at, end):
            raise _refused("lines must end in CR LF, and be none another's continuation")
        self._looked_at = max(0, end - 1)
        if data.endswith(END, 0, end):
            lengths = LENGTHS.findall(data, 0, end)
            if len(lengths) > 1 or any(b"," in each for each in lengths):
                raise _refused("a request has one length")

    def _check(self, request: h11.Request) -> None:
        headers = request.headers
        size = len(request.target) + sum(len(name) + len(value) for name, value in headers)
        if len(headers) > self._headers_max or size > self._head_max_bytes:
            raise _refused("the head is too large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if request.http_version not in (b"1.0", b"1.1"):
            raise _refused("only HTTP/1.1 is spoken here")
        framings = [name for name, _ in headers if name in (b"content-length", b"transfer-encoding")]
        if len(framings) > 1 or (framings == [b"transfer-encoding"] and request.http_version == b"1.0"):
            raise _refused("a request is framed in one way")
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) > 1 or not all(map(HOST.fullmatch, hosts)):
            raise _refused("a request has one host")
        if not path_of(request.target).startswith(b"/"):
            raise _refused("the target must be a path")


def path_of(target: bytes) -> bytes:
    """A target in origin form; the absolute one is to be accepted too (RFC 9112 3.2.2)."""
    if target.startswith(b"/"):
        return target
    found = ABSOLUTE.match(target)
    if found is None:
        return target
    rest = target[found.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest


def _refused(why: str, status: int = HTTPStatus.BAD_REQUEST) -> h11.RemoteProtocolError:
    return h11.RemoteProtocolError(why, error_status_hint=status)
