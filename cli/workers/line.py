"""The line between a worker and its parent: either may ask the other, and learns when there is no other any more."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from itertools import count

import trio

Answer = Callable[[bytes], Awaitable[bytes]]

_HEAD = struct.Struct("!?II")  # whether it is an answer; to which question; how many bytes follow


class LineClosed(Exception):
    """The other end is gone."""


class Line:
    """One end. Nothing is answered, nor any answer received, but while it runs.

    Only a question may be cancelled while it is sent: it is so short that it is sent whole or not at all.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._sending = trio.Lock()
        self._numbers = count()
        self._asked: dict[int, trio.MemorySendChannel[bytes]] = {}
        self._received = bytearray()

    async def run(self, answer: Answer) -> None:
        """Answer what is asked, until the other end is gone."""
        async with trio.open_nursery() as answering:
            while head := await self._read(_HEAD.size):
                is_answer, number, size = _HEAD.unpack(head)
                body = await self._read(size)
                if not is_answer:
                    answering.start_soon(self._answer, answer, number, body)
                elif (asked := self._asked.get(number)) is not None:
                    asked.send_nowait(body)
            answering.cancel_scope.cancel()
        for asked in self._asked.values():
            asked.close()

    async def ask(self, question: bytes) -> bytes:
        """Raises LineClosed."""
        number = next(self._numbers)
        told, answer = trio.open_memory_channel[bytes](1)
        self._asked[number] = told
        try:
            await self._send(False, number, question)
            return await answer.receive()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.EndOfChannel):
            raise LineClosed from None
        finally:
            del self._asked[number]

    async def _answer(self, answer: Answer, number: int, question: bytes) -> None:
        body = await answer(question)
        try:
            await self._send(True, number, body)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def _send(self, is_answer: bool, number: int, body: bytes) -> None:
        async with self._sending:
            await self._stream.send_all(_HEAD.pack(is_answer, number, len(body)) + body)

    async def _read(self, size: int) -> bytes:
        while len(self._received) < size:
            try:
                more = await self._stream.receive_some()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                more = b""
            if not more:
                return b""
            self._received += more
        read = bytes(self._received[:size])
        del self._received[:size]
        return read
