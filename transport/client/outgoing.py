"""What a connection has to say: gathered from its calls, sent by one task, as far as the server gives room.

Frames that are produced within one turn of the scheduler leave in one write.
"""

from __future__ import annotations

from typing import Protocol

import trio

from actors.bell import Bell
from transport.client import frames
from transport.client.frames import frame

UNSENT_BYTES_MAX = 1024 * 1024


class Sender(Protocol):
    """A call, as far as its sending goes: `room` is what its server takes now."""

    id: int
    room: int
    half_closed: bool
    ended: bool


class Outgoing:
    """`run` sends what is put here, beginning with `first`."""

    def __init__(self, stream: trio.abc.Stream, first: bytes) -> None:
        self._stream = stream
        self._room = frames.WINDOW_DEFAULT
        self._out = bytearray(first)
        self._wake = trio.Event()
        self._waiting: dict[int, Bell] = {}

    def put(self, data: bytes) -> None:
        """Have frames sent that need no room."""
        self._out += data
        self._wake.set()

    async def put_data(self, sender: Sender, data: bytes, *, last: bool) -> None:
        """Have data sent, in pieces where there is not room for all of it; not what is left when the call has ended."""
        while not sender.ended:
            room = min(self._room, sender.room, frames.FRAME_BYTES_MAX, UNSENT_BYTES_MAX - len(self._out))
            if len(data) <= room:
                self._put_piece(sender, data, last=last)
                return
            if room > 0:
                self._put_piece(sender, data[:room], last=False)
                data = data[room:]
            else:
                await self._wait(sender)

    def _put_piece(self, sender: Sender, data: bytes, *, last: bool) -> None:
        self._room -= len(data)
        sender.room -= len(data)
        sender.half_closed = last
        self.put(frame(frames.DATA, frames.END_STREAM if last else 0, sender.id, data))

    async def _wait(self, sender: Sender) -> None:
        bell = self._waiting[sender.id] = Bell()
        try:
            await bell.wait()
        finally:
            del self._waiting[sender.id]

    def widen(self, bytes_: int) -> int:
        """The server takes so much more on the whole connection; returns how much that is now."""
        self._room += bytes_
        self.wake_all()
        return self._room

    def wake(self, stream_id: int) -> None:
        """Something has changed for this call."""
        bell = self._waiting.get(stream_id)
        if bell is not None:
            bell.ring()

    def wake_all(self) -> None:
        """Something has changed for every call."""
        for bell in self._waiting.values():
            bell.ring()

    async def flush(self) -> None:
        """Send what there is. Raises Trio's errors of a broken connection."""
        data, self._out = self._out, bytearray()
        await self._stream.send_all(data)
        if len(data) >= UNSENT_BYTES_MAX:
            self.wake_all()

    async def run(self) -> None:
        """Send until cancelled, or until the connection breaks."""
        while True:
            if not self._out:
                self._wake = trio.Event()
                await self._wake.wait()
            try:
                await self.flush()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return  # the reader meets the end of it too, after what was still answered
