"""The workers drill: one of a service's workers dies by SIGKILL, again and again under load; its parent replaces it."""

from __future__ import annotations

import os
import re
import signal

import trio

from cli.drill.installation import Service
from cli.drill.judge import Verdict
from cli.drill.kill import cut_off, moments
from cli.drill.stage import Stage
from cli.hammer.http_client import HttpClient, HttpFailed

WORKERS = 2
REPLACED_TIMEOUT_S = 15.0

_NUMBER = re.compile(r'^transactions_worker_(pid|ready)\{child="([^"]*)",.*\} ([0-9.e+]+)$', re.MULTILINE)


async def workers(stage: Stage) -> list[Verdict]:
    """At the kill drill's moments; nobody starts anything again but the service itself."""
    kills, replaced, unready = 0, 0, 0
    there = await _all_ready(stage.service)
    async with stage.under_load():
        async for _ in moments(stage):
            if not there:
                break
            victim = stage.rng.choice(there)
            stage.probe.mark("SIGKILL")
            os.kill(victim, signal.SIGKILL)
            kills += 1
            await _ended(victim)
            unready += await stage.service.readyz() != 200
            there = await _all_ready(stage.service)
            replaced += bool(there) and victim not in there
            stage.probe.mark("started again")
    stage.service.signal(signal.SIGTERM)
    status = await stage.ended()
    return [
        cut_off(stage, kills),
        Verdict("the other worker served on", unready == 0, f"not ready after {unready} kills"),
        Verdict("every worker was replaced", replaced == kills, f"{replaced} of {kills}"),
        Verdict("exit status 0 within SHUTDOWN_GRACE", status == 0, f"exit status {status}"),
        *await stage.judged(),
    ]


async def _ended(pid: int) -> None:
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        await trio.sleep(0.005)


async def _all_ready(service: Service) -> list[int]:
    """Their process ids, once all of them take work; none when they do not in time."""
    with trio.move_on_after(REPLACED_TIMEOUT_S):
        while len(there := await _ready(service)) < WORKERS:
            await trio.sleep(0.05)
        return there
    return []


async def _ready(service: Service) -> list[int]:
    async with HttpClient("127.0.0.1", service.http_port) as client:
        try:
            _, body = await client.request("GET", "/metrics")
        except HttpFailed:
            return []
    numbers = {(name, child): int(float(value)) for name, child, value in _NUMBER.findall(body.decode())}
    return [pid for (name, child), pid in numbers.items() if name == "pid" and numbers["ready", child]]
