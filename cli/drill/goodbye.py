"""Listens on one idle gRPC connection for how it is told goodbye: RFC 9113 6.8 asks for GOAWAY before the end."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from transport.client.frames import (
    ACK,
    GOAWAY,
    PING,
    PREFACE,
    SETTINGS,
    frame,
    settings_frame,
    take_frames,
)

RECEIVE_BYTES = 4_096


@dataclass(slots=True)
class Goodbye:
    """When each GOAWAY came, and when the connection ended."""

    goaways: list[float] = field(default_factory=list)
    ended_s: float | None = None


async def watch_goodbye(port: int, heard: Goodbye) -> None:
    """Until the other side ends the connection."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(PREFACE + settings_frame(()))
        buffer = bytearray()
        try:
            async for data in stream:
                buffer += data
                for kind, flags, _, payload in take_frames(buffer):
                    if kind == GOAWAY:
                        heard.goaways.append(trio.current_time())
                    elif kind in (SETTINGS, PING) and not flags & ACK:
                        await stream.send_all(frame(kind, ACK, 0, payload if kind == PING else b""))
        except trio.BrokenResourceError:
            pass
    heard.ended_s = trio.current_time()
