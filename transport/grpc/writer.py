"""What a connection has to say: gathered from its calls, sent by one task, bounded.

Frames that are produced within one turn of the scheduler leave in one write.
"""

from __future__ import annotations

import h2.connection
import trio
from hyperframe.frame import GoAwayFrame

from transport.grpc.limits import GrpcLimits


class Writer:
    """Takes what h2 has to send; `run` sends it."""

    def __init__(
        self, stream: trio.abc.SendStream, h2_: h2.connection.H2Connection, limits: GrpcLimits
    ) -> None:
        self._stream = stream
        self._h2 = h2_
        self._limits = limits
        self._out = bytearray()
        self._sending = 0
        self._wake = trio.Event()
        self._sent = trio.lowlevel.ParkingLot()
        self._ending = False
        self._ended = trio.Event()

    def flush(self) -> None:
        """Have everything sent soon."""
        self._wake.set()

    def end(self) -> None:
        """Have everything sent, and `run` return then."""
        self._ending = True
        self._wake.set()

    def goaway(self, last_stream_id: int) -> None:
        """Say GOAWAY by hand: to h2 it is the end, and calls in flight could not be answered any more."""
        self._out += self._h2.data_to_send()
        self._out += GoAwayFrame(0, last_stream_id=last_stream_id).serialize()
        self._wake.set()

    @property
    def size(self) -> int:
        """Bytes that have not been sent yet."""
        return len(self._out) + self._sending

    def has_room(self) -> bool:
        """Whether the peer has read enough to be told more."""
        self._out += self._h2.data_to_send()
        return len(self._out) <= self._limits.unsent_max_bytes

    async def wait_for_room(self) -> None:
        """Wait while the peer has left too much unread."""
        while not self.has_room():
            self.flush()
            await self._sent.park()

    async def wait_ended(self) -> None:
        """Wait until `run` has sent the last of it."""
        self.end()
        await self._ended.wait()

    async def run(self) -> None:
        """Send until ended, or until the peer is gone or has not read for `send_timeout_s`."""
        try:
            await self._send()
        finally:
            self._ended.set()

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            self._out += self._h2.data_to_send()
            data, self._out = self._out, bytearray()
            self._sending = len(data)
            if data:
                try:
                    with trio.fail_after(self._limits.send_timeout_s):
                        await self._stream.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
                    return
            self._sending = 0
            self._sent.unpark_all()
            if self._ending and not self._wake.is_set():
                return
