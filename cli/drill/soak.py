"""The soak drill: steady load, and nothing of the service may grow with it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import linear_regression

import trio

from cli.drill.judge import Verdict
from cli.drill.probe import Numbers
from cli.drill.stage import Stage

WARM_UP = 0.5
"""The part of the time in which everything may still grow to what it needs."""
GROWTH_MAX = {
    "process_resident_memory_bytes": ("resident memory", 4 * 2**20),
    "process_open_fds": ("file descriptors", 4.0),
    "transactions_tasks": ("tasks", 16.0),
    "transactions_registry_actors": ("actors", 8.0),
}
"""By how much, along the regression line, each may differ from the begin to the end of what follows the warm-up."""


async def soak(stage: Stage) -> list[Verdict]:
    """The whole time under load; the slopes are those of its second half."""
    async with stage.under_load():
        await trio.sleep(stage.seconds)
        samples = list(stage.probe.metrics)
    steady = samples[int(len(samples) * WARM_UP) :]
    slopes = [_growth(steady, metric, *limits) for metric, limits in GROWTH_MAX.items()]
    return [*slopes, *await stage.judged()]


def _growth(samples: Sequence[tuple[float, Numbers]], metric: str, name: str, most: float) -> Verdict:
    times = [at for at, _ in samples]
    values = [values[metric] for _, values in samples]
    slope = linear_regression(times, values).slope
    growth = slope * (times[-1] - times[0])
    detail = (
        f"{values[0]:,.0f} to {values[-1]:,.0f} in {times[-1] - times[0]:.0f} s, slope {slope:+,.1f} a second"
    )
    return Verdict(f"no growth of {name}", growth <= most, detail)
