"""HTTP/1.1 by hand, for what a client library would hide."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any


class Wire:
    """One request on a connection of its own, of which every chunk can be looked at."""

    def __init__(self, port: int, head: str, *headers: str) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=20)
        lines = [f"{head} HTTP/1.1", "Host: x", *headers]
        self.connection.sendall("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n")
        self._file = self.connection.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.connection.close()

    def head(self) -> tuple[int, dict[str, str]]:
        status = int(self._file.readline().split()[1])
        pairs = [line.decode().rstrip().split(": ", 1) for line in iter(self._file.readline, b"\r\n")]
        return status, {name.lower(): value for name, value in pairs}

    def chunk(self) -> bytes:
        """The next chunk; an empty one is the proper end, and no chunk at all an error."""
        data = self._file.read(int(self._file.readline(), 16))
        assert self._file.readline() == b"\r\n"
        return data

    def lines(self) -> Iterator[dict[str, Any]]:
        while chunk := self.chunk():
            yield from map(json.loads, chunk.splitlines())

    def say(self, text: str) -> None:
        """A chunk of the request."""
        self.connection.sendall(f"{len(text.encode()):x}\r\n{text}\r\n".encode())

    def finish(self) -> None:
        """The end of the request."""
        self.connection.sendall(b"0\r\n\r\n")
