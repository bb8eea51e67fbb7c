"""The postgres drill: the database is killed, its sessions ended, and answers to COMMIT lost, under load."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from cli.drill.books import connected
from cli.drill.judge import Verdict
from cli.drill.proxy import Cut, Link
from cli.drill.stage import Stage, moved_again

CUTS = 6
"""Lost answers to COMMIT in each round, before and after the server has heard it."""
AWAY_MIN_S, AWAY_MAX_S = 0.3, 1.5
RECOVERY_S = 5.0


async def postgres(stage: Stage) -> list[Verdict]:
    """Rounds of everything, in an order left to chance, until the time is over."""
    (proxy,) = stage.proxies[Link.POSTGRES]
    troubles: list[Callable[[Stage], Awaitable[None]]] = [_killed, _sessions_ended, _answers_lost]
    until = trio.current_time() + stage.seconds
    rounds = 0
    recovery_s = 0.0
    async with stage.under_load():
        while trio.current_time() < until or not rounds:
            stage.rng.shuffle(troubles)
            for trouble in troubles:
                await trio.sleep(stage.rng.uniform(0.5, 1.5))
                await trouble(stage)
                recovery_s = max(recovery_s, await stage.recovered())
            rounds += 1
    made = proxy.made
    lost = len(made)
    after = sum(cut is Cut.AFTER for cut in made)
    return [
        Verdict(
            "answers to COMMIT were lost", after > 0, f"{after} after and {lost - after} before it was heard"
        ),
        moved_again(recovery_s, RECOVERY_S),
        *await stage.judged(),
    ]


async def _killed(stage: Stage) -> None:
    server = stage.installation.postgres
    stage.probe.mark("PostgreSQL is killed")
    await trio.to_thread.run_sync(server.kill)
    await trio.sleep(stage.rng.uniform(AWAY_MIN_S, AWAY_MAX_S))
    await trio.to_thread.run_sync(server.start)
    stage.probe.mark("PostgreSQL is back")


async def _sessions_ended(stage: Stage) -> None:
    stage.probe.mark("its sessions are ended")
    async with connected(stage.database_url) as connection:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'transactions'"
        )


async def _answers_lost(stage: Stage) -> None:
    (proxy,) = stage.proxies[Link.POSTGRES]
    stage.probe.mark("answers to COMMIT are lost")
    proxy.cuts = [stage.rng.choice(list(Cut)) for _ in range(CUTS)]
    while proxy.cuts:
        await trio.sleep(0.01)
