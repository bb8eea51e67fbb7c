"""Watches a service from outside during a drill: whether it says that it is ready, and how large its batches are."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

import trio

from cli.hammer.http_client import HttpClient, HttpFailed

READY_EVERY_S = 0.02
METRICS_EVERY_S = 0.25
TIMEOUT_S = 2.0
NOBODY = 0
"""In place of a status, where nobody answers."""

Numbers = dict[str, float]
"""What /metrics says by name, summed over the labels."""
_METRIC = re.compile(r"^(\w+)(?:\{[^}]*\})? ([0-9.e+-]+)$", re.MULTILINE)
BATCHES, ORDERS = "transactions_lane_batches", "transactions_lane_orders"


@dataclass(slots=True)
class Probe:
    """`ready` has the status of /readyz at each time, `metrics` the numbers of /metrics where it answered."""

    port: int
    ready: list[tuple[float, int]] = field(default_factory=list)
    metrics: list[tuple[float, Numbers]] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)

    def mark(self, what: str) -> float:
        """Note that something happens now; returns when that is."""
        now = trio.current_time()
        self.marks.append((now, what))
        return now

    def first_not_ready(self, after_s: float) -> tuple[float, int] | None:
        """When, and with which status, the service first said that it is not ready."""
        return next(((at, status) for at, status in self.ready if at >= after_s and status != 200), None)

    def batches(self) -> list[tuple[float, float]]:
        """The mean size of the batches between each look and the one before."""
        sizes = []
        for (_, before), (at, now) in pairwise(self.metrics):
            batches = now.get(BATCHES, 0) - before.get(BATCHES, 0)
            if batches > 0:
                sizes.append((at, (now[ORDERS] - before.get(ORDERS, 0)) / batches))
        return sizes

    async def watch_ready(self) -> None:
        """Until cancelled, on a connection of its own each time: as a load balancer's check."""
        while True:
            async with HttpClient("127.0.0.1", self.port) as client:
                status, _ = await _get(client, "/readyz")
            self.ready.append((trio.current_time(), status))
            await trio.sleep(READY_EVERY_S)

    async def watch_metrics(self) -> None:
        """Until cancelled."""
        async with HttpClient("127.0.0.1", self.port) as client:
            while True:
                status, body = await _get(client, "/metrics")
                if status == 200:
                    self.metrics.append((trio.current_time(), numbers(body.decode())))
                await trio.sleep(METRICS_EVERY_S)


def numbers(text: str) -> Numbers:
    """What a page in Prometheus's format says."""
    found: Numbers = defaultdict(float)
    for name, value in _METRIC.findall(text):
        found[name] += float(value)
    return found


async def _get(client: HttpClient, path: str) -> tuple[int, bytes]:
    with trio.move_on_after(TIMEOUT_S):
        try:
            return await client.request("GET", path)
        except HttpFailed:
            pass
    return NOBODY, b""
