"""A frugal HTTP/1.1 client: one keep-alive connection, one request at a time, few instructions each.

A load generator shares the machine with what it measures, so it must cost less. It understands the messages
of RFC 9112 that a service sends: a body with a length or in chunks, never one that ends with the connection.
Whatever is ambiguous is a failure, and the connection is not used again.
"""

from __future__ import annotations

import re
from types import TracebackType

import trio

RECEIVE_BYTES = 64 * 1024
HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 16 * 2**20
CHUNK_HEAD_BYTES_MAX = 256
HEAD_END = b"\r\n\r\n"

_STATUS = re.compile(rb"http/1\.1 ([1-5][0-9][0-9])(?: |\r\n|$)")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,10})[ \t]*(?=\r\n|$)")
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*(?=\r\n|$)")
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*(?=\r\n|$)")
_RETRY_AFTER = re.compile(rb"\r\nretry-after:[ \t]*([0-9]{1,6})[ \t]*(?=\r\n|$)")
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;.*)?")


class HttpFailed(Exception):
    """The connection broke, or what came back is no HTTP we understand."""


class HttpClient:
    """An asynchronous context manager; `headers` go with every request."""

    def __init__(self, host: str, port: int, headers: dict[str, str] | None = None) -> None:
        self._host = host
        self._port = port
        name = f"[{host}]" if ":" in host else host
        lines = [f"Host: {name}:{port}", *(f"{field}: {value}" for field, value in (headers or {}).items())]
        self._headers = "".join(f"{line}\r\n" for line in lines).encode()
        self._stream: trio.SocketStream | None = None
        self._buffer = bytearray()
        self._target = ("", "")
        self._prefix = b""
        self.retry_after_s = 0
        """What the last response asked for; 0 when it did not."""

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; the next request opens another."""
        stream, self._stream = self._stream, None
        self._buffer.clear()
        if stream is not None:
            await trio.aclose_forcefully(stream)

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: bytes = b""
    ) -> tuple[int, bytes]:
        """Status and body; raises HttpFailed. `headers` are whole lines with their ends."""
        if self._target != (method, path):
            self._target = (method, path)
            self._prefix = b"%b %b HTTP/1.1\r\n%b" % (method.encode(), path.encode(), self._headers)
        try:
            if self._stream is None:
                self._stream = await trio.open_tcp_stream(self._host, self._port)
            await self._stream.send_all(
                b"%b%bContent-Length: %d\r\n\r\n%b" % (self._prefix, headers, len(body), body)
            )
            return await self._response(self._stream)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, HttpFailed) as error:
            await self.aclose()
            raise HttpFailed(str(error) or type(error).__name__) from error
        except BaseException:
            await self.aclose()  # cancelled: an answer may still come, and is not for the next request
            raise

    async def _response(self, stream: trio.SocketStream) -> tuple[int, bytes]:
        status, head = 100, b""
        while status < 200:  # interim responses precede the one that counts (RFC 9110, section 15.2)
            head = (await self._take_until(stream, HEAD_END, HEAD_BYTES_MAX)).lower()
            match = _STATUS.match(head)
            if match is None:
                raise HttpFailed("a response without a status of HTTP/1.1")
            status = int(match[1])
        if b"\r\ntransfer-encoding:" in head:
            _check_chunked(head)
            body = await self._chunks(stream)
        else:
            body = await self._take(stream, 0 if status in (204, 304) else _length(head))
        retry_after = _RETRY_AFTER.search(head)
        self.retry_after_s = int(retry_after[1]) if retry_after else 0
        if self._buffer:
            raise HttpFailed("more than one response to a request")
        if _CLOSE.search(head):
            await self.aclose()
        return status, body

    async def _chunks(self, stream: trio.SocketStream) -> bytes:
        """The body of RFC 9112, section 7.1; trailers are passed over."""
        body = bytearray()
        while True:
            match = _CHUNK_SIZE.fullmatch(await self._take_until(stream, b"\r\n", CHUNK_HEAD_BYTES_MAX))
            if match is None:
                raise HttpFailed("a chunk without a size")
            size = int(match[1], 16)
            if size == 0:
                break
            if len(body) + size > BODY_BYTES_MAX:
                raise HttpFailed("a body beyond our limit")
            body += await self._take(stream, size)
            if await self._take(stream, 2) != b"\r\n":
                raise HttpFailed("a chunk longer than its size")
        trailer_bytes = 0
        while line := await self._take_until(stream, b"\r\n", HEAD_BYTES_MAX):
            trailer_bytes += len(line)
            if trailer_bytes > HEAD_BYTES_MAX:
                raise HttpFailed("trailers beyond our limit")
        return bytes(body)

    async def _take_until(self, stream: trio.SocketStream, end: bytes, limit: int) -> bytes:
        buffer = self._buffer
        while (at := buffer.find(end)) < 0:
            if len(buffer) > limit:
                raise HttpFailed("a head beyond our limit")
            await self._receive(stream)
        taken = bytes(buffer[:at])
        del buffer[: at + len(end)]
        return taken

    async def _take(self, stream: trio.SocketStream, length: int) -> bytes:
        buffer = self._buffer
        while len(buffer) < length:
            await self._receive(stream)
        taken = bytes(buffer[:length])
        del buffer[:length]
        return taken

    async def _receive(self, stream: trio.SocketStream) -> None:
        data = await stream.receive_some(RECEIVE_BYTES)
        if not data:
            raise HttpFailed("the server closed the connection")
        self._buffer += data


def _length(head: bytes) -> int:
    match = _LENGTH.search(head)
    if match is None or head.count(b"\r\ncontent-length:") != 1:
        raise HttpFailed("a response without one plain length")
    length = int(match[1])
    if length > BODY_BYTES_MAX:
        raise HttpFailed("a body beyond our limit")
    return length


def _check_chunked(head: bytes) -> None:
    if (
        not _CHUNKED.search(head)
        or head.count(b"\r\ntransfer-encoding:") != 1
        or b"\r\ncontent-length:" in head
    ):
        raise HttpFailed("a response whose length is ambiguous")
