"""gRPC messages in a stream of bytes: a flag, a length, and the message, compressed or not.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import struct
import zlib

from transport import errors
from transport.grpc.status import RpcFailed

PREFIX = struct.Struct("!BI")
GZIP = b"gzip"
ACCEPTED = b"identity,gzip"
GZIP_WINDOW = 31
GZIP_LEVEL = 1
COMPRESSED_MIN_BYTES = 1_024
"""Smaller messages are sent as they are: they would hardly become smaller still."""


def frame(message: bytes, *, compress: bool = False) -> bytes:
    """One message; with `compress` gzipped, where that is worth it."""
    if compress and len(message) >= COMPRESSED_MIN_BYTES:
        packed = zlib.compress(message, GZIP_LEVEL, GZIP_WINDOW)
        return PREFIX.pack(1, len(packed)) + packed
    return PREFIX.pack(0, len(message)) + message


class Deframer:
    """Cuts messages out of what arrives; none larger than `message_max_bytes`, compressed or not."""

    __slots__ = ("_buffer", "_encoding", "_max")

    def __init__(self, message_max_bytes: int, encoding: bytes | None = None) -> None:
        self._buffer = bytearray()
        self._max = message_max_bytes
        self._encoding = encoding

    def feed(self, data: bytes) -> None:
        """Add what arrived."""
        self._buffer += data

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return len(self._buffer)

    @property
    def is_empty(self) -> bool:
        """Whether no part of a message is left."""
        return not self._buffer

    def next(self) -> bytes | None:
        """The next whole message, or None; raises RpcFailed when it is too large or can not be opened."""
        buffer = self._buffer
        if len(buffer) < PREFIX.size:
            return None
        flag, length = PREFIX.unpack_from(buffer)
        if length > self._max:
            raise RpcFailed(errors.RESOURCE_EXHAUSTED, f"a message may have {self._max} bytes at most")
        end = PREFIX.size + length
        if len(buffer) < end:
            return None
        message = bytes(buffer[PREFIX.size : end])
        del buffer[:end]
        return message if flag == 0 else self._decompressed(flag, message)

    def _decompressed(self, flag: int, message: bytes) -> bytes:
        if flag != 1 or self._encoding in (None, b"identity"):
            raise RpcFailed(errors.INTERNAL, "a message is marked as compressed without an encoding")
        if self._encoding != GZIP:
            raise RpcFailed(errors.UNIMPLEMENTED, "messages may be compressed with gzip only")
        decompressor = zlib.decompressobj(GZIP_WINDOW)
        try:
            opened = decompressor.decompress(message, self._max + 1)
        except zlib.error:
            raise RpcFailed(errors.INTERNAL, "a message could not be decompressed") from None
        if len(opened) > self._max:
            raise RpcFailed(errors.RESOURCE_EXHAUSTED, f"a message may have {self._max} bytes at most")
        return opened
