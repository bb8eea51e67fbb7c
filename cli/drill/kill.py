"""The kill drill: one of two services dies by SIGKILL, again and again under load, and is started again at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import trio

from cli.drill.judge import Verdict
from cli.drill.stage import Stage

APART_MIN_S, APART_MAX_S = 3.0, 8.0
KILLS_MAX = 20


async def moments(stage: Stage) -> AsyncIterator[None]:
    """Of a drill that kills: every 3 to 8 seconds, at most 20 times."""
    until = trio.current_time() + stage.seconds
    for _ in range(KILLS_MAX):
        if trio.current_time() >= until:
            return
        await trio.sleep(stage.rng.uniform(APART_MIN_S, APART_MAX_S))
        yield


def cut_off(stage: Stage, kills: int) -> Verdict:
    """That there was something to see."""
    lost = stage.load.history.unanswered
    return Verdict(
        "clients were cut off, and asked again", lost > 0, f"{kills} kills, {lost} attempts without an answer"
    )


async def kill(stage: Stage) -> list[Verdict]:
    """At those moments; clients ask again by key."""
    kills = 0
    async with stage.under_load():
        async for _ in moments(stage):
            service = stage.rng.choice(stage.services)
            stage.probe.mark("SIGKILL")
            await service.kill()
            kills += 1
            await service.start()
            await service.wait_ready()
            stage.probe.mark("started again")
    return [cut_off(stage, kills), *await stage.judged()]
