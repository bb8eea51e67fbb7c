"""The bars: what each figure is held against, all of it measured in the same run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.figures import Figure, Figures

OVERLOAD_GROWTH_MAX_MIB = 128
"""What 2,000 more connections may take: 64 KiB each, rounded up."""


@dataclass(frozen=True, slots=True)
class Bar:
    """`figure` over the larger of `over`, or as it is; at least or at most so much."""

    row: int
    what: str
    figure: Figure
    over: tuple[Figure, ...] = ()
    at_least: float | None = None
    at_most: float | None = None

    def value(self, figures: Figures) -> float | None:
        """None where something that it takes was not measured."""
        if any(each not in figures for each in (self.figure, *self.over)):
            return None
        return figures[self.figure] / (max(figures[each] for each in self.over) if self.over else 1)

    def is_left_out(self, figures: Figures) -> bool:
        """Whether there is a reason why it has no value, other than that nobody asked for it."""
        return any(each in figures.left_out for each in (self.figure, *self.over))

    def is_met(self, value: float) -> bool:
        """Whether a value is good enough."""
        least = -math.inf if self.at_least is None else self.at_least
        most = math.inf if self.at_most is None else self.at_most
        return least <= value <= most


_HOT = (Figure.PEER_HOT_64,)

BARS = (
    Bar(1, "one transfer per HTTP request, × peer-64", Figure.HTTP, _HOT, at_least=4),
    Bar(1, "the same with WORKERS=2, × peer-64", Figure.HTTP_2, _HOT, at_least=7),
    Bar(1, "the same with WORKERS=2, × peer-8", Figure.HTTP_2, (Figure.PEER_HOT_8,), at_least=1.6),
    Bar(
        1,
        "CPU time per request, × bare Quart-Trio echo",
        Figure.HTTP_CPU,
        (Figure.ECHO_HTTP_CPU,),
        at_most=1.35,
    ),
    Bar(2, "one transfer per gRPC call, × peer-64", Figure.GRPC, _HOT, at_least=8),
    Bar(2, "the same with WORKERS=2 and two clients, × peer-64", Figure.GRPC_2, _HOT, at_least=10),
    Bar(
        2,
        "CPU time per call, × bare echo on the same handler",
        Figure.GRPC_CPU,
        (Figure.ECHO_GRPC_CPU,),
        at_most=2,
    ),
    Bar(
        2, "that echo, × the same on purerpc's own server", Figure.ECHO_GRPC, (Figure.ECHO_PURERPC,), at_least=2
    ),
    Bar(3, "StreamTransfers, 1,000 in flight, × peer-64", Figure.STREAM, _HOT, at_least=25),
    Bar(4, "BatchTransfers of 500, × peer-64 (goal: 100)", Figure.BATCH, _HOT, at_least=60),
    Bar(4, "the same, × the statements alone", Figure.BATCH, (Figure.STATEMENTS,), at_least=0.6),
    Bar(
        5,
        "BatchTransfers of 500, uniform, × the better peer",
        Figure.UNIFORM,
        (Figure.PEER_UNIFORM_8, Figure.PEER_UNIFORM_64),
        at_least=4,
    ),
    Bar(
        6,
        "HTTP at half of the maximum rate: p99, × p50",
        Figure.HALF_HTTP_P99,
        (Figure.HALF_HTTP_P50,),
        at_most=4,
    ),
    Bar(
        6,
        "gRPC at half of the maximum rate: p99, × p50",
        Figure.HALF_GRPC_P99,
        (Figure.HALF_GRPC_P50,),
        at_most=4,
    ),
    Bar(6, "HTTP at half of the maximum rate: share that was kept up", Figure.HALF_HTTP_KEPT, at_least=0.95),
    Bar(6, "gRPC at half of the maximum rate: share that was kept up", Figure.HALF_GRPC_KEPT, at_least=0.95),
    Bar(
        6,
        "HTTP, cold pair beside a hammered account: p99, × alone",
        Figure.COLD_HTTP_P99,
        (Figure.QUIET_HTTP_P99,),
        at_most=1.5,
    ),
    Bar(
        6,
        "gRPC, cold pair beside a hammered account: p99, × alone",
        Figure.COLD_GRPC_P99,
        (Figure.QUIET_GRPC_P99,),
        at_most=1.5,
    ),
    Bar(
        7,
        "rate after 1,000,000 transfers, × after 1,000",
        Figure.HISTORY_LARGE,
        (Figure.HISTORY_SMALL,),
        at_least=0.9,
    ),
    Bar(7, "time to read a balance, likewise", Figure.BALANCE_LARGE, (Figure.BALANCE_SMALL,), at_most=1.2),
    Bar(
        7,
        "time to read the first page of entries, likewise",
        Figure.ENTRIES_LARGE,
        (Figure.ENTRIES_SMALL,),
        at_most=1.2,
    ),
    Bar(
        8,
        "rate over 100,000 accounts, × over 100",
        Figure.ACCOUNTS_LARGE,
        (Figure.ACCOUNTS_SMALL,),
        at_least=0.8,
    ),
    Bar(9, "goodput under overload, × the maximum", Figure.GOODPUT, (Figure.CAPACITY,), at_least=0.9),
    Bar(9, "refused, × what was sent and not acknowledged", Figure.REFUSED_SHARE, at_least=0.95),
    Bar(9, "time to a refusal, p99, ms", Figure.REFUSAL_P99, at_most=50),
    Bar(
        9,
        "answered neither 201 nor `overloaded` with Retry-After, or cut off, per second",
        Figure.OTHERWISE,
        at_most=0,
    ),
    Bar(
        9,
        "growth of resident memory, MiB (64 KiB for each connection)",
        Figure.GROWTH,
        at_most=OVERLOAD_GROWTH_MAX_MIB,
    ),
    Bar(9, "recovery, s", Figure.RECOVERY, at_most=1),
    Bar(10, "an actor's `ask`, × bare memory channels", Figure.ASK, (Figure.CHANNELS,), at_least=0.7),
    Bar(10, "an actor's `ask`, × pykka's", Figure.ASK, (Figure.PYKKA,), at_least=2),
)
