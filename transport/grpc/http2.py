"""h2 as our connections use it: few memories, constant headers, and nothing half sent without a bound."""

from __future__ import annotations

from contextlib import suppress

import h2.config
import h2.connection
import h2.errors
import h2.exceptions
import h2.settings
import trio
from h2.frame_buffer import FrameBuffer
from hyperframe.frame import Frame

from transport.grpc.hpack import ConstantEncoder
from transport.grpc.limits import GrpcLimits
from transport.grpc.status import Headers

CONFIG = h2.config.H2Configuration(
    client_side=False,
    header_encoding=None,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
)
FRAME_HEADER_BYTES = 9
GONE = (h2.exceptions.NoSuchStreamError, h2.exceptions.StreamIDTooLowError)
"""What h2 says of a stream that has ended, and of one that it has forgotten since."""


class Http2(h2.connection.H2Connection):
    """h2, remembering fewer of the streams that have ended than the 65,536 it would."""

    MAX_CLOSED_STREAMS = 1_024

    def __init__(self, limits: GrpcLimits) -> None:
        super().__init__(CONFIG)
        self.encoder = ConstantEncoder()  # type: ignore[assignment]
        self.incoming_buffer: Frames = Frames(limits.head_max_bytes)
        self.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams_max,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: limits.metadata_max_bytes,
            },
        )
        self.initiate_connection()
        self.increment_flow_control_window(limits.window_bytes)

    def refuse(self, stream_id: int, headers: Headers) -> None:
        """Answer with headers alone, and want no more of a stream that the client may have ended meanwhile."""
        with suppress(*GONE):
            self.send_headers(stream_id, headers, end_stream=True)
        self.reset(stream_id, h2.errors.ErrorCodes.NO_ERROR)

    def reset(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        """Reset a stream, unless it has ended: what has come in one segment has been read to its end."""
        with suppress(*GONE):
            self.reset_stream(stream_id, code)

    def acknowledge(self, stream_id: int, length: int) -> None:
        """Let the client send so much more on a stream."""
        if length:
            self.acknowledge_received_data(length, stream_id)


class Frames(FrameBuffer):
    """h2's, which would hold a frame of 16 MB before it finds it too large, and a block of headers of 1 MB.

    `half_since` is when what is there of a frame, or of a block of headers, began to come; `taken` counts frames.
    """

    def __init__(self, head_max_bytes: int) -> None:
        super().__init__(server=True)
        self._head_max_bytes = head_max_bytes
        self.half_since: float | None = None
        self.taken = 0

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return len(self._data) + self._head_bytes()

    def __next__(self) -> Frame:
        try:
            frame = super().__next__()
        except StopIteration:
            self._look_at_the_rest()
            raise
        self.half_since = None
        self.taken += 1
        return frame

    def _look_at_the_rest(self) -> None:
        if len(self._data) >= FRAME_HEADER_BYTES:
            self._validate_frame_length(int.from_bytes(self._data[:3], "big"))
        if self._head_bytes() > self._head_max_bytes:
            raise h2.exceptions.DenialOfServiceError("the headers are too large")
        if not self._data and not self._headers_buffer:
            self.half_since = None
        elif self.half_since is None:
            self.half_since = trio.current_time()

    def _head_bytes(self) -> int:
        return sum(len(frame.data) for frame in self._headers_buffer)
