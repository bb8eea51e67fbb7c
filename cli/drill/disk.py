"""The disk drill: PostgreSQL's disk is full, until it can not even write its log any more; then room is made."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack

import trio

from cli.drill.asking import ask
from cli.drill.books import connected
from cli.drill.history import POSTED, Attempt
from cli.drill.judge import Verdict
from cli.drill.small_disk import SmallDisk, small_disk
from cli.drill.stage import Stage, moved_again
from domain.errors import Code
from infra.local.process import LocalServerError
from persistence.faults import DatabaseFault

FULL_MIN_S = 3.0
"""A lane tries for so long before it says that the database is not available."""
CRASHED_S = 1.0
RECOVERY_S = 5.0
FILL_EVERY_S = 0.02
SEGMENTS_MAX = 20
FULL = "No space left on device"
REFUSALS = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.OVERLOADED})
ALL_SHOWN = "a full disk stops nobody for good"


async def disk(stage: Stage) -> list[Verdict]:
    """Some load, the disk is full, PostgreSQL crashes, room is made, and some more load."""
    server = stage.installation.postgres
    with ExitStack() as stack:
        try:
            small = stack.enter_context(small_disk(server))
        except LocalServerError as failure:
            print(f"WARNING: {failure}: what a full disk does is NOT SHOWN here", file=sys.stderr)
            return [Verdict(ALL_SHOWN, None, str(failure)), *await stage.judged()]
        return await _disk(stage, small)


async def _disk(stage: Stage, small: SmallDisk) -> list[Verdict]:
    server = stage.installation.postgres
    reads: list[str] = []
    async with stage.under_load():
        await trio.sleep(stage.seconds / 4)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_keep_full, small)
            full_s = stage.probe.mark("the disk is full")
            with trio.move_on_after(max(FULL_MIN_S, stage.seconds / 4)):
                await _read(stage, reads)
            stage.probe.mark("PostgreSQL may not even log")
            crashed = await _use_up_the_log(stage)
            await trio.sleep(CRASHED_S)
            nursery.cancel_scope.cancel()
        room_s = stage.probe.mark("room is made")
        small.make_room()
        if not server.alive:  # what starts it again elsewhere is systemd, or whoever is on call
            await trio.to_thread.run_sync(server.stop)
            await trio.to_thread.run_sync(server.start)
            stage.probe.mark("PostgreSQL is started")
        recovery_s = await stage.recovered()
        await trio.sleep(stage.seconds / 4)
    said = (server.home / "log").read_text(errors="replace").splitlines()
    return [
        disk_was_full(said, crashed),
        reads_went_on(reads),
        refused_for_now([each for each in stage.load.history.attempts if full_s < each.ended_s < room_s]),
        moved_again(recovery_s, RECOVERY_S),
        Verdict("the service outlives it", stage.service.running, f"{stage.service.log.name} has its warnings"),
        *await stage.judged(),
    ]


async def _keep_full(small: SmallDisk) -> None:
    while True:
        small.fill()
        await trio.sleep(FILL_EVERY_S)


async def _read(stage: Stage, reads: list[str]) -> None:
    plan = stage.load.plan
    while True:
        account = stage.rng.choice(plan.accounts)
        path = f"/v1/accounts/{account}{stage.rng.choice(('', '/entries'))}"
        reads.append((await ask(stage.service.http_port, "GET", path, token=plan.token)).code)
        await trio.sleep(FILL_EVERY_S)


async def _use_up_the_log(stage: Stage) -> bool:
    """Whether PostgreSQL ended over it: its log goes on in a new file, for which there is no room."""
    try:
        async with connected(stage.database_url) as connection:
            for _ in range(SEGMENTS_MAX):
                await connection.execute(
                    "select pg_logical_emit_message(false, 'drill', 'x', true), pg_switch_wal()"
                )
    except DatabaseFault:
        return True
    return False


def disk_was_full(said: Sequence[str], crashed: bool) -> Verdict:
    """That there was something to see, by what PostgreSQL said."""
    errors = sum("ERROR" in line and FULL in line for line in said)
    panics = sum("PANIC" in line and FULL in line for line in said)
    return Verdict(
        "the disk was full", errors > 0 and panics > 0 and crashed, f"{errors} errors, {panics} crashes"
    )


def reads_went_on(outcomes: Sequence[str]) -> Verdict:
    """While nobody could write."""
    failed = [outcome for outcome in outcomes if outcome != "ok"]
    detail = (
        f"{len(outcomes)} reads" if not failed else f"{len(failed)} of {len(outcomes)}, the first {failed[0]}"
    )
    return Verdict("whoever only reads goes on while the disk is full", bool(outcomes) and not failed, detail)


def refused_for_now(attempts: Sequence[Attempt]) -> Verdict:
    """Whoever moves money is told to come back, or waits; nobody is told anything else."""
    told = [each.outcome for each in attempts if each.outcome != POSTED]
    wrong = [outcome for outcome in told if outcome not in REFUSALS]
    detail = f"{len(told)} attempts" if not wrong else f"{len(wrong)} of {len(told)}, the first {wrong[0]}"
    return Verdict("whoever moves money is told to come back", Code.UNAVAILABLE in told and not wrong, detail)
