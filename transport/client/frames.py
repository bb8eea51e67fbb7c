"""HTTP/2 frames and header literals, as bytes: no I/O and no state.

Sources: RFC 9113 (frames, section 4 and 6) and RFC 7541 (literals, section 6.2.3; integers, section 5.1).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(
    10
)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = range(1, 6)
NO_ERROR, REFUSED_STREAM, CANCEL = 0, 7, 8

FRAME_HEAD_BYTES = 9
FRAME_BYTES_MAX = 16_384
"""The largest payload that every peer takes and that we take, as we never announce another."""
WINDOW_MAX = 2**31 - 1
WINDOW_DEFAULT = 65_535
STREAM_ID_MAX = 2**31 - 1

_EXACT_BYTES = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
_HEAD = struct.Struct("!BHBBI")
"""A frame's length (in two parts, 24 bits), kind, flags and stream id."""
_SETTING = struct.Struct("!HI")
_U32 = struct.Struct("!I")

Frame = tuple[int, int, int, bytes]
"""Kind, flags, stream id, payload."""


class ProtocolViolation(Exception):
    """The peer sent what HTTP/2 does not allow; the connection cannot go on."""


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """One frame."""
    size = len(payload)
    return _HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream_id) + payload


def settings_frame(settings: Iterable[tuple[int, int]]) -> bytes:
    """SETTINGS with these values."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*setting) for setting in settings))


def u32_frame(kind: int, stream_id: int, value: int) -> bytes:
    """WINDOW_UPDATE and RST_STREAM, whose payload is one number."""
    return frame(kind, 0, stream_id, _U32.pack(value))


def take_frames(buffer: bytearray) -> Iterator[Frame]:
    """The whole frames at the start of `buffer`, which loses them when the iterator has ended.

    Raises ProtocolViolation for a frame of a wrong size.
    """
    at, size = 0, len(buffer)
    while size - at >= FRAME_HEAD_BYTES:
        high, low, kind, flags, stream_id = _HEAD.unpack_from(buffer, at)
        length = high << 16 | low
        if length > FRAME_BYTES_MAX or length != _EXACT_BYTES.get(kind, length):
            raise ProtocolViolation(f"a frame of kind {kind} with {length} bytes")
        end = at + FRAME_HEAD_BYTES + length
        if end > size:
            break
        yield kind, flags, stream_id & STREAM_ID_MAX, bytes(buffer[at + FRAME_HEAD_BYTES : end])
        at = end
    del buffer[:at]


def settings_of(payload: bytes) -> list[tuple[int, int]]:
    """Identifiers and values of a SETTINGS payload."""
    if len(payload) % _SETTING.size:
        raise ProtocolViolation("SETTINGS of a broken size")
    return list(_SETTING.iter_unpack(payload))


def number_of(payload: bytes) -> int:
    """The 31-bit number that a payload begins with."""
    if len(payload) < _U32.size:
        raise ProtocolViolation("a frame too short for its number")
    value: int = _U32.unpack_from(payload)[0]
    return value & STREAM_ID_MAX


def error_code_of(payload: bytes) -> int:
    """The 32-bit error code of an RST_STREAM payload."""
    code: int = _U32.unpack(payload)[0]
    return code


def without_padding(flags: int, payload: bytes) -> bytes:
    """The content of a DATA or HEADERS payload."""
    start, padding = 0, 0
    if flags & PADDED:
        if not payload:
            raise ProtocolViolation("padding without its length")
        start, padding = 1, payload[0]
    if flags & HAS_PRIORITY:
        start += 5
    if start + padding > len(payload):
        raise ProtocolViolation("more padding than payload")
    return payload[start : len(payload) - padding]


def literal(name: str, value: str) -> bytes:
    """A header field never indexed, with its name in full and without Huffman coding: needs no state."""
    name_bytes, value_bytes = name.encode("ascii"), value.encode("ascii")
    return b"\x10" + _length(len(name_bytes)) + name_bytes + _length(len(value_bytes)) + value_bytes


def _length(value: int) -> bytes:
    if value < 0x7F:
        return bytes((value,))
    encoded = bytearray((0x7F,))
    value -= 0x7F
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
