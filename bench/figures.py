"""What is measured: each figure has a name and a unit, a value for every round, and the median of those counts."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping
from enum import Enum


class Figure(Enum):
    """Its label, and the unit of its values."""

    PEER_HOT_8 = "peer, hot account, 8 clients", "transfers/s"
    PEER_HOT_64 = "peer, hot account, 64 clients", "transfers/s"
    PEER_UNIFORM_8 = "peer, uniform, 8 clients", "transfers/s"
    PEER_UNIFORM_64 = "peer, uniform, 64 clients", "transfers/s"
    HTTP = "HTTP, hot account, 64 connections", "transfers/s"
    HTTP_CPU = "HTTP, CPU time of the service", "µs/request"
    HTTP_2 = "HTTP, hot account, 64 connections, WORKERS=2", "transfers/s"
    HTTP_2_CPU = "HTTP, CPU time of the service, WORKERS=2", "µs/request"
    ECHO_HTTP = "bare Quart-Trio echo, 64 connections", "requests/s"
    ECHO_HTTP_CPU = "bare Quart-Trio echo, CPU time", "µs/request"
    GRPC = "gRPC, hot account, 64 in flight", "transfers/s"
    GRPC_CPU = "gRPC, CPU time of the service", "µs/call"
    GRPC_2 = "gRPC, hot account, 64 in flight from two clients, WORKERS=2", "transfers/s"
    GRPC_2_CPU = "gRPC, CPU time of the service, WORKERS=2", "µs/call"
    ECHO_GRPC = "bare echo on our gRPC handler, 64 in flight", "calls/s"
    ECHO_GRPC_CPU = "bare echo on our gRPC handler, CPU time", "µs/call"
    ECHO_PURERPC = "the same echo on purerpc's own server, 64 in flight", "calls/s"
    ECHO_PURERPC_CPU = "the same echo on purerpc's own server, CPU time", "µs/call"
    STREAM = "StreamTransfers, hot account, 1,000 in flight", "transfers/s"
    BATCH = "BatchTransfers of 500, hot account", "transfers/s"
    STATEMENTS = "the statements alone, batches of 512, hot account", "transfers/s"
    UNIFORM = "BatchTransfers of 500, uniform over 10,000 accounts", "transfers/s"

    HALF_HTTP_P50 = "HTTP at half of its maximum rate, p50", "ms"
    HALF_HTTP_P99 = "HTTP at half of its maximum rate, p99", "ms"
    HALF_HTTP_KEPT = "HTTP at half of its maximum rate, share that was kept up", ""
    HALF_GRPC_P50 = "gRPC at half of its maximum rate, p50", "ms"
    HALF_GRPC_P99 = "gRPC at half of its maximum rate, p99", "ms"
    HALF_GRPC_KEPT = "gRPC at half of its maximum rate, share that was kept up", ""
    QUIET_HTTP_P99 = "HTTP, cold pair alone, p99", "ms"
    COLD_HTTP_P99 = "HTTP, cold pair beside a hammered account, p99", "ms"
    QUIET_GRPC_P99 = "gRPC, cold pair alone, p99", "ms"
    COLD_GRPC_P99 = "gRPC, cold pair beside a hammered account, p99", "ms"

    HISTORY_SMALL = "BatchTransfers of 500, hot account, after 1,000 transfers", "transfers/s"
    HISTORY_LARGE = "BatchTransfers of 500, hot account, after 1,000,000 transfers", "transfers/s"
    BALANCE_SMALL = "balance of the hot account, after 1,000 transfers", "ms"
    BALANCE_LARGE = "balance of the hot account, after 1,000,000 transfers", "ms"
    ENTRIES_SMALL = "its first page of entries, after 1,000 transfers", "ms"
    ENTRIES_LARGE = "its first page of entries, after 1,000,000 transfers", "ms"
    ACCOUNTS_SMALL = "BatchTransfers of 500, uniform over 100 accounts", "transfers/s"
    ACCOUNTS_LARGE = "BatchTransfers of 500, uniform over 100,000 accounts", "transfers/s"

    CAPACITY = "HTTP, hot account, 64 connections, before the overload", "transfers/s"
    OFFERED = "overload from 2,000 connections, sent", "requests/s"
    GOODPUT = "overload, acknowledged", "transfers/s"
    REFUSED = "overload, refused as `overloaded` with Retry-After", "requests/s"
    REFUSED_SHARE = "overload, share of it among what was sent and not acknowledged", ""
    REFUSAL_P99 = "overload, time to a refusal, p99", "ms"
    OTHERWISE = "overload, answered otherwise, cut off or never answered", "requests/s"
    WAITED_P99 = "overload, time to an acknowledgement, p99", "ms"
    GROWTH = "overload, growth of resident memory", "MiB"
    RECOVERY = "time from the end of the overload to quiet latencies", "s"

    ASK = "an actor's `ask`", "round trips/s"
    CHANNELS = "bare ping-pong over Trio's memory channels", "round trips/s"
    PYKKA = "pykka's `ask`", "round trips/s"

    def __init__(self, label: str, unit: str) -> None:
        self.label = label
        self.unit = unit


class Figures:
    """Filled round by round; what could not be measured has a reason instead."""

    def __init__(self) -> None:
        self._rounds: dict[Figure, list[float]] = defaultdict(list)
        self.left_out: dict[Figure, str] = {}
        self.failures: list[str] = []

    def add(self, values: Mapping[Figure, float]) -> None:
        """A round's."""
        for figure, value in values.items():
            self._rounds[figure].append(value)

    def leave_out(self, why: str, *figures: Figure) -> None:
        """They will not be measured in this run."""
        self.left_out |= dict.fromkeys(figures, why)

    def __contains__(self, figure: Figure) -> bool:
        return figure in self._rounds

    def __getitem__(self, figure: Figure) -> float:
        """The median of its rounds."""
        return statistics.median(self._rounds[figure])
