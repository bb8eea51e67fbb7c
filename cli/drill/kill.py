"""The kill drill: one of two services dies by SIGKILL, again and again under load, and is started again at once."""

from __future__ import annotations

import trio

from cli.drill.judge import Verdict
from cli.drill.stage import Stage

APART_MIN_S, APART_MAX_S = 3.0, 8.0
KILLS_MAX = 20


async def kill(stage: Stage) -> list[Verdict]:
    """Every 3 to 8 seconds, at most 20 times; clients ask again by key."""
    kills, until = 0, trio.current_time() + stage.seconds
    async with stage.under_load():
        while kills < KILLS_MAX and trio.current_time() < until:
            await trio.sleep(stage.rng.uniform(APART_MIN_S, APART_MAX_S))
            service = stage.rng.choice(stage.services)
            stage.probe.mark("SIGKILL")
            await service.kill()
            kills += 1
            await service.start()
            await service.wait_ready()
            stage.probe.mark("started again")
    lost = stage.load.history.unanswered
    return [
        Verdict(
            "clients were cut off, and asked again",
            lost > 0,
            f"{kills} kills, {lost} attempts without an answer",
        ),
        *await stage.judged(),
    ]
