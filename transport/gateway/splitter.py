"""JSON objects in a stream of bytes: a line each, or one after another with any white space between."""

from __future__ import annotations

import re

from domain.errors import InvalidArgument

_SPACE = re.compile(rb"[ \t\r\n]*")
_OUTSIDE = re.compile(rb'["{}\[\]]')
_IN_STRING = re.compile(rb'["\\]')


class Splitter:
    """Cuts objects out of what arrives; none larger than `message_max_bytes`. Every byte is looked at once."""

    __slots__ = ("_at", "_buffer", "_depth", "_in_string", "_max")

    def __init__(self, message_max_bytes: int) -> None:
        self._max = message_max_bytes
        self._buffer = bytearray()
        self._at = 0
        self._depth = 0
        self._in_string = False

    def feed(self, data: bytes) -> None:
        """Add what arrived."""
        self._buffer += data

    @property
    def is_empty(self) -> bool:
        """Whether no part of an object is left."""
        return not self._buffer

    def next(self) -> bytes | None:
        """The next whole object, or None; raises InvalidArgument for what is none, or too large."""
        buffer = self._buffer
        if self._depth == 0:
            space = _SPACE.match(buffer)
            del buffer[: space.end() if space else 0]
            if buffer and buffer[:1] != b"{":
                raise InvalidArgument("a message of the stream must be a JSON object")
        end = self._scan()
        if (len(buffer) if end is None else end) > self._max:
            raise InvalidArgument(f"a message may have {self._max} bytes at most")
        if end is None:
            return None
        self._at = 0
        message = bytes(buffer[:end])
        del buffer[:end]
        return message

    def _scan(self) -> int | None:
        """Where the object ends, as far as brackets tell; whether it is JSON is for whoever decodes it."""
        buffer = self._buffer
        while found := (_IN_STRING if self._in_string else _OUTSIDE).search(buffer, self._at):
            token, self._at = found[0], found.end()
            if token == b"\\":
                if self._at == len(buffer):
                    self._at -= 1
                    return None
                self._at += 1
            elif token == b'"':
                self._in_string = not self._in_string
            else:
                self._depth += 1 if token in b"{[" else -1
                if self._depth == 0:
                    return self._at
        self._at = len(buffer)
        return None
