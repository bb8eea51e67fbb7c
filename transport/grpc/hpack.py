"""A stateless HPACK encoder for responses (RFC 7541).

Our responses carry a handful of headers, nearly always the same ones. Literals without indexing need no table
on either side, so an encoded block is a constant and is made once.
"""

from __future__ import annotations

from collections.abc import Iterable

BLOCKS_MAX = 256
"""Blocks remembered; those of failures carry messages and are made anew beyond it."""
_STATUS_200 = b"\x88"


class ConstantEncoder:
    """Takes the place of hpack's encoder in an h2 connection."""

    def __init__(self) -> None:
        self.header_table_size = 4096  # the peer may set it; nothing here depends on it
        self._blocks: dict[tuple[tuple[bytes, bytes], ...], bytes] = {}

    def encode(self, headers: Iterable[tuple[bytes, bytes]], huffman: bool = True) -> bytes:
        """The header block of `headers`."""
        key = tuple(headers)
        block = self._blocks.get(key)
        if block is None:
            block = b"".join(_field(name, value) for name, value in key)
            if len(self._blocks) < BLOCKS_MAX:
                self._blocks[key] = block
        return block


def _field(name: bytes, value: bytes) -> bytes:
    if (name, value) == (b":status", b"200"):
        return _STATUS_200
    return b"\x00" + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    length = len(text)
    if length < 127:
        return bytes((length,)) + text
    rest, prefix = length - 127, bytearray((127,))
    while rest >= 128:
        prefix.append(rest % 128 + 128)
        rest //= 128
    prefix.append(rest)
    return bytes(prefix) + text
