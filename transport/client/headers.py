"""Header blocks, sent and received, without the state that HPACK may keep.

Requests are literals. A header table of size 0, which our SETTINGS announce, makes every response block stateless
(RFC 7541, section 4.2), so that blocks seen before need no decoding.
"""

from __future__ import annotations

from hpack import Decoder

from transport.client import frames
from transport.client.frames import ProtocolViolation

BLOCK_BYTES_MAX = 64 * 1024
BLOCKS_REMEMBERED = 1_000

Fields = dict[str, str]


def header_block(scheme: str, authority: str, path: str) -> bytes:
    """What every call of a method begins with; metadata is appended to it with `frames.literal`."""
    fields = {
        ":method": "POST",
        ":scheme": scheme,
        ":path": path,
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
    }
    return b"".join(frames.literal(name, value) for name, value in fields.items())


def metadata_block(metadata: dict[str, str]) -> bytes:
    """Metadata of a call. Raises ValueError for what no header may hold."""
    for name, value in metadata.items():
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"{name}: must be printable ASCII")
    return b"".join(frames.literal(name, value) for name, value in metadata.items())


class Responses:
    """Puts header blocks together from their frames, and reads them."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._decoder.max_allowed_table_size = self._decoder.header_table_size = 0
        self._known: dict[bytes, Fields] = {}
        self.partial: tuple[int, int, bytes] | None = None
        """A block that has begun: stream id, flags, and what has come of it."""

    def begin(self, stream_id: int, flags: int, block: bytes) -> None:
        """Keep the beginning of a block; the frames that follow must continue it."""
        self.partial = (stream_id, flags, block)

    def go_on(self, stream_id: int, flags: int, payload: bytes) -> tuple[int, bytes] | None:
        """Flags of the HEADERS frame and the block, once it is whole. Raises ProtocolViolation."""
        if self.partial is None or self.partial[0] != stream_id:
            raise ProtocolViolation("a continuation of nothing")
        _, first_flags, block = self.partial
        block += payload
        if len(block) > BLOCK_BYTES_MAX:
            raise ProtocolViolation("a header block beyond our limit")
        self.partial = None if flags & frames.END_HEADERS else (stream_id, first_flags, block)
        return None if self.partial else (first_flags, block)

    def fields(self, block: bytes) -> Fields:
        """What a block says. Raises hpack's HPACKError."""
        fields = self._known.get(block)
        if fields is None:
            fields = {str(name): str(value) for name, value in self._decoder.decode(block)}
            if len(self._known) < BLOCKS_REMEMBERED:
                self._known[block] = fields
        return fields
