"""An HTTP/2 server that a test plays frame by frame."""

from __future__ import annotations

from typing import Any, NamedTuple

import trio
from google.protobuf.message import Message
from hpack import Decoder

from transport.client import frames
from transport.client.frames import frame, u32_frame
from transport.grpc.framing import frame as message_frame

END = frames.END_HEADERS | frames.END_STREAM


def block_of(*fields: tuple[str, str]) -> bytes:
    return b"".join(frames.literal(name, value) for name, value in fields)


OK_BLOCK = block_of((":status", "200"), ("grpc-status", "0"))


def headers_of(stream_id: int) -> bytes:
    """The beginning of an answer."""
    return frame(frames.HEADERS, frames.END_HEADERS, stream_id, block_of((":status", "200")))


def data_of(stream_id: int, message: bytes) -> bytes:
    """A message."""
    return frame(frames.DATA, 0, stream_id, message_frame(message))


def answer(stream_id: int, block: bytes = OK_BLOCK) -> bytes:
    """The end of an answer, or all of one without messages."""
    return frame(frames.HEADERS, END, stream_id, block)


def refusal(stream_id: int, status: int, *trailers: tuple[str, str]) -> bytes:
    """All of an answer that is a status other than OK."""
    return answer(stream_id, block_of((":status", "200"), ("grpc-status", str(status)), *trailers))


def reply(stream_id: int, message: Message) -> bytes:
    """All of an answer that is one message."""
    return headers_of(stream_id) + data_of(stream_id, message.SerializeToString()) + answer(stream_id)


class Request(NamedTuple):
    """A call of one message, as the server sees it."""

    stream_id: int
    headers: dict[str, str]
    message: bytes

    def parsed(self, message_type: Any) -> Any:
        return message_type.FromString(self.message)


class Server:
    """One end of a connection whose other end is the client's."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._in = bytearray()
        self.taken: list[frames.Frame] = []

    async def take_preface(self) -> None:
        """What every client's connection begins with."""
        while len(self._in) < len(frames.PREFACE):
            self._in += await self.stream.receive_some(2**16)
        assert self._in.startswith(frames.PREFACE)
        del self._in[: len(frames.PREFACE)]

    async def send(self, *data: bytes) -> None:
        await self.stream.send_all(b"".join(data))

    async def widen(self, stream_id: int, room: int) -> None:
        """Take more: on a stream, or with 0 on the whole connection."""
        await self.send(u32_frame(frames.WINDOW_UPDATE, stream_id, room))

    async def next(self, *kinds: int) -> frames.Frame:
        """The client's next frame of one of these kinds."""
        while True:
            while self.taken:
                taken = self.taken.pop(0)
                if taken[0] in kinds:
                    return taken
            self._in += await self.stream.receive_some(2**16)
            self.taken += frames.take_frames(self._in)

    async def calls(self, number: int) -> list[int]:
        """The streams of the client's next calls."""
        return [(await self.next(frames.HEADERS))[2] for _ in range(number)]

    async def data(self) -> tuple[int, bytes, bool]:
        """Stream, content and whether it was the last, of the client's next DATA."""
        _, flags, stream_id, payload = await self.next(frames.DATA)
        return stream_id, payload, bool(flags & frames.END_STREAM)

    async def request(self) -> Request:
        """The client's next call, which is one message in one piece."""
        _, _, stream_id, block = await self.next(frames.HEADERS)
        headers = {str(name): str(value) for name, value in Decoder().decode(block)}
        _, body, _ = await self.data()
        return Request(stream_id, headers, body[5:])
