"""The network drill: every line, of clients and of the service, is slow, silent, or cut."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from cli.drill.judge import Verdict
from cli.drill.proxy import Link, Proxy
from cli.drill.stage import Stage, moved_again

DELAY_S = 0.02
TROUBLE_MIN_S, TROUBLE_MAX_S = 0.2, 1.5
RECOVERY_S = 12.0
"""What a service may take to give up waiting on a line that has fallen silent: a request's ten seconds, and two."""
LIFE_S = 0.5
"""How long all lines live while they are cut again and again."""


async def network(stage: Stage) -> list[Verdict]:
    """Every trouble on every link, in an order left to chance, and again until the time is over.

    All of them once, however slow the machine is: of some no answer is lost, and then nothing would be shown.
    """
    until = trio.current_time() + stage.seconds
    troubles = {"slow": _slow, "silent": _silent, "cut": _cut}
    every = [(link, name) for link in Link for name in troubles]
    recovery_s, met = 0.0, 0
    queue: list[tuple[Link, str]] = []
    async with stage.under_load():
        while met < len(every) or trio.current_time() < until:
            if not queue:
                queue = stage.rng.sample(every, k=len(every))
            link, name = queue.pop()
            stage.probe.mark(f"{link.value}: {name}")
            await troubles[name](stage, stage.proxies[link])
            stage.probe.mark("over")
            recovery_s = max(recovery_s, await stage.recovered())
            met += 1
    unanswered = stage.load.history.unanswered
    return [
        Verdict(
            "answers were lost on their way",
            unanswered > 0,
            f"{met} troubles, {unanswered} attempts without one",
        ),
        moved_again(recovery_s, RECOVERY_S),
        *await stage.judged(),
    ]


def _for_a_while(stage: Stage) -> float:
    return stage.rng.uniform(TROUBLE_MIN_S, TROUBLE_MAX_S)


async def _slow(stage: Stage, proxies: Sequence[Proxy]) -> None:
    for proxy in proxies:
        proxy.delay_s = DELAY_S
    await trio.sleep(_for_a_while(stage))
    for proxy in proxies:
        proxy.delay_s = 0.0


async def _silent(stage: Stage, proxies: Sequence[Proxy]) -> None:
    """And half open in the end: each line is gone for one side, and the other is told only then."""
    for proxy in proxies:
        proxy.silent = True
    await trio.sleep(_for_a_while(stage))
    for proxy in proxies:
        proxy.silent = False
        proxy.reset_all()


async def _cut(stage: Stage, proxies: Sequence[Proxy]) -> None:
    with trio.move_on_after(_for_a_while(stage)):
        while True:
            for proxy in proxies:
                proxy.reset_all()
            await trio.sleep(stage.rng.uniform(0, LIFE_S))
