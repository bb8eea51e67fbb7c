"""Bounds of one gRPC connection, and the count of frames by which a peer makes work for nothing."""

from __future__ import annotations

from dataclasses import dataclass

import trio


@dataclass(frozen=True, slots=True)
class GrpcLimits:
    """Every bound of a connection.

    A request that is one message must have come within `request_s`, and so must every frame, every block of headers
    (`head_max_bytes`, as it is sent) and every message of a stream, from its first byte; until then requests are
    held, and no more than `held_max_bytes` of them all. Idle frames are those that make work for nothing: resets,
    pings, settings, priorities, empty data.
    """

    streams_max: int = 1_000
    metadata_max_bytes: int = 16 * 1024
    head_max_bytes: int = 64 * 1024
    message_max_bytes: int = 256 * 1024
    held_max_bytes: int = 4 * 1024 * 1024
    request_s: float = 30.0
    window_bytes: int = 1024 * 1024
    unsent_max_bytes: int = 256 * 1024
    preface_timeout_s: float = 10.0
    send_timeout_s: float = 60.0
    drain_round_trip_s: float = 1.0
    idle_frames_max: int = 1_000
    idle_frames_period_s: float = 1.0


class Flooded(Exception):
    """The peer sends more idle frames than any honest one would."""


class IdleFrames:
    """Counts them, within a period."""

    def __init__(self, limits: GrpcLimits) -> None:
        self._limits = limits
        self._count = 0
        self._since = trio.current_time()

    def count(self, number: int = 1) -> None:
        """So many more; raises Flooded when it is one too many."""
        now = trio.current_time()
        if now - self._since > self._limits.idle_frames_period_s:
            self._count, self._since = 0, now
        self._count += number
        if self._count > self._limits.idle_frames_max:
            raise Flooded
