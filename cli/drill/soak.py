"""The soak drill: steady load, and nothing of the service may grow with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import linear_regression

import trio

from cli.drill.judge import Verdict
from cli.drill.stage import Stage
from cli.hammer.http_client import HttpClient

SAMPLE_EVERY_S = 0.25
WARM_UP = 0.5
"""The part of the time in which everything may still grow to what it needs."""
GROWTH_MAX = {
    "process_resident_memory_bytes": ("resident memory", 4 * 2**20),
    "process_open_fds": ("file descriptors", 4.0),
    "transactions_tasks": ("tasks", 16.0),
    "transactions_registry_actors": ("actors", 8.0),
}
"""By how much, along the regression line, each may differ from the begin to the end of what follows the warm-up."""

_METRIC = re.compile(r"^(\w+)(?:\{[^}]*\})? ([0-9.e+-]+)$", re.MULTILINE)


async def soak(stage: Stage) -> list[Verdict]:
    """The whole time under load; the slopes are those of its second half."""
    samples: list[tuple[float, dict[str, float]]] = []
    async with stage.under_load():
        until = trio.current_time() + stage.seconds
        async with HttpClient("127.0.0.1", stage.service.http_port) as client:
            while (now := trio.current_time()) < until:
                _, body = await client.request("GET", "/metrics")
                samples.append((now, {name: float(value) for name, value in _METRIC.findall(body.decode())}))
                await trio.sleep(SAMPLE_EVERY_S)
    steady = samples[int(len(samples) * WARM_UP) :]
    slopes = [_growth(steady, metric, *limits) for metric, limits in GROWTH_MAX.items()]
    return [*slopes, *await stage.judged()]


def _growth(samples: Sequence[tuple[float, dict[str, float]]], metric: str, name: str, most: float) -> Verdict:
    times = [at for at, _ in samples]
    values = [values[metric] for _, values in samples]
    slope = linear_regression(times, values).slope
    growth = slope * (times[-1] - times[0])
    detail = (
        f"{values[0]:,.0f} to {values[-1]:,.0f} in {times[-1] - times[0]:.0f} s, slope {slope:+,.1f} a second"
    )
    return Verdict(f"no growth of {name}", growth <= most, detail)
