"""Watches a service from outside during a drill: whether it says that it is ready, and how large its batches are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import trio

from cli.hammer.http_client import HttpClient, HttpFailed

READY_EVERY_S = 0.02
METRICS_EVERY_S = 0.25
TIMEOUT_S = 2.0
NOBODY = 0
"""In place of a status, where nobody answers."""

_COUNTED = re.compile(r'^transactions_lane_(batches|orders)\{child="[^"]*"\} ([0-9.e+]+)$', re.MULTILINE)


@dataclass(slots=True)
class Probe:
    """`ready` has the status of /readyz at each time, `batches` the mean size of the batches since the last look."""

    port: int
    ready: list[tuple[float, int]] = field(default_factory=list)
    batches: list[tuple[float, float]] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)

    def mark(self, what: str) -> float:
        """Note that something happens now; returns when that is."""
        now = trio.current_time()
        self.marks.append((now, what))
        return now

    def first_not_ready(self, after_s: float) -> tuple[float, int] | None:
        """When, and with which status, the service first said that it is not ready."""
        return next(((at, status) for at, status in self.ready if at >= after_s and status != 200), None)

    async def watch_ready(self) -> None:
        """Until cancelled, on a connection of its own each time: as a load balancer's check."""
        while True:
            async with HttpClient("127.0.0.1", self.port) as client:
                status, _ = await _get(client, "/readyz")
            self.ready.append((trio.current_time(), status))
            await trio.sleep(READY_EVERY_S)

    async def watch_batches(self) -> None:
        """Until cancelled."""
        before: dict[str, float] = {}
        async with HttpClient("127.0.0.1", self.port) as client:
            while True:
                status, body = await _get(client, "/metrics")
                now = counted(body) if status == 200 else {}
                batches = now.get("batches", 0) - before.get("batches", 0)
                if now and before and batches > 0:
                    size = (now["orders"] - before["orders"]) / batches
                    self.batches.append((trio.current_time(), size))
                before = now
                await trio.sleep(METRICS_EVERY_S)


def counted(body: bytes) -> dict[str, float]:
    """Batches and orders that all lanes have carried out, from what /metrics says."""
    totals = {"batches": 0.0, "orders": 0.0}
    for name, value in _COUNTED.findall(body.decode()):
        totals[name] += float(value)
    return totals


async def _get(client: HttpClient, path: str) -> tuple[int, bytes]:
    with trio.move_on_after(TIMEOUT_S):
        try:
            return await client.request("GET", path)
        except HttpFailed:
            pass
    return NOBODY, b""
