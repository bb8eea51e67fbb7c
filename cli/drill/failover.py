"""The failover drill: PostgreSQL is killed under load, and its synchronous standby is promoted in its place."""

from __future__ import annotations

import trio

from cli.drill.judge import Verdict
from cli.drill.stage import Stage, moved_again

RECOVERY_S = 5.0
"""From the promotion to the next acknowledged transfer."""


async def failover(stage: Stage) -> list[Verdict]:
    """Half the time on the primary, and half on what was its standby."""
    installation = stage.installation
    assert installation.standby is not None
    async with stage.under_load():
        await trio.sleep(stage.seconds / 2)
        stage.probe.mark("the primary is killed")
        await trio.to_thread.run_sync(installation.postgres.kill)
        await trio.to_thread.run_sync(installation.standby.promote)
        stage.failed_over = True
        stage.probe.mark("its standby is the primary")
        recovery_s = await stage.recovered()
        await trio.sleep(stage.seconds / 2)
    return [moved_again(recovery_s, RECOVERY_S), *await stage.judged()]
