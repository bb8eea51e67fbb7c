"""The shutdown drill: SIGTERM under load, and another service takes over on the same address."""

from __future__ import annotations

import signal

import trio

from cli.drill.goodbye import Goodbye, watch_goodbye
from cli.drill.judge import Verdict
from cli.drill.stage import Stage, sessions_left

READYZ_S = 0.1
NOBODY_LISTENS = "failed"
"""How an attempt to connect ends where nobody listens; whatever else is no answer is a request that was dropped."""


async def shutdown(stage: Stage) -> list[Verdict]:
    """Half the time under load, SIGTERM, a successor, and the other half."""
    heard, probe, service = Goodbye(), stage.probe, stage.service
    async with stage.under_load(registrations=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_goodbye, service.grpc_port, heard)
            await trio.sleep(stage.seconds / 2)
            terminated_s = probe.mark("SIGTERM")
            service.signal(signal.SIGTERM)
            status = await stage.ended()
            ended_s = probe.mark("ended")
        sessions = await sessions_left(stage.database_url)
        await service.start()
        await service.wait_ready()
        probe.mark("the successor is ready")
        await trio.sleep(stage.seconds / 2)
    return [
        Verdict(
            "exit status 0 within SHUTDOWN_GRACE", status == 0, f"{status} after {ended_s - terminated_s:.2f} s"
        ),
        _readyz(stage, terminated_s),
        _goodbye(heard, terminated_s),
        _dropped(stage, terminated_s),
        Verdict("no session is left in PostgreSQL", sessions == 0, f"{sessions} sessions"),
    ]


def _readyz(stage: Stage, terminated_s: float) -> Verdict:
    promise = f"/readyz says 503 within {READYZ_S * 1000:.0f} ms"
    seen = stage.probe.first_not_ready(terminated_s)
    if seen is None:
        return Verdict(promise, False, "it was never not ready")
    took_s = seen[0] - terminated_s
    return Verdict(promise, seen[1] == 503 and took_s <= READYZ_S, f"{seen[1]} after {took_s * 1000:.0f} ms")


def _goodbye(heard: Goodbye, terminated_s: float) -> Verdict:
    goaways = [at - terminated_s for at in heard.goaways]
    told = ", ".join(f"{at:.2f}" for at in goaways) or "none"
    ended = "never" if heard.ended_s is None else f"{heard.ended_s - terminated_s:.2f} s"
    kept = len(goaways) == 2 and heard.ended_s is not None and goaways[0] >= 0
    return Verdict("gRPC says GOAWAY twice before it closes", kept, f"at {told} s; closed after {ended}")


def _dropped(stage: Stage, terminated_s: float) -> Verdict:
    attempts = [each for each in stage.load.history.attempts if each.ended_s >= terminated_s]
    dropped = [each for each in attempts if not each.answered and NOBODY_LISTENS not in each.outcome]
    detail = f"{sum(each.answered for each in attempts):,} answered since"
    if dropped:
        first = dropped[0]
        after_s = first.ended_s - terminated_s
        detail = f"{len(dropped)} not, the first over {first.protocol} after {after_s:.2f} s: {first.outcome}"
    return Verdict("every request that was taken was answered", not dropped, detail)
