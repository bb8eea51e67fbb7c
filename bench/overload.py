"""Row 9: ten times the load that the service can carry, from 2,000 connections, and how it comes out of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from bench.bank import ACCOUNTS_AND_A_PAIR, Bank, open_bank
from bench.figures import Figure
from bench.processes import resident_mib
from bench.run import Run, output
from cli.hammer.http_client import HttpFailed
from cli.hammer.plan import Plan
from cli.hammer.senders import http_senders
from cli.hammer.tally import OK

CONNECTIONS = 2_000
TIMES = 10
ROUNDS = 2
SECONDS_TIMES = 2
"""How much longer than a side the overload lasts: it has to show that nothing grows."""
PROBE_EVERY_S = 0.02
QUIET_S = 1.0
AFTERWARDS_S = 5.0
GOOD_IN_A_ROW = 5
SLOWER_MAX = 2.0
"""Recovered is whose answers, five in a row, take no more than twice the worst one before the overload."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One request of somebody who sends now and then."""

    sent_s: float
    took_s: float
    ok: bool


async def measure(run: Run) -> None:
    """The maximum just before, then the overload, with a client beside it who sends now and then."""

    async def overload() -> Mapping[Figure, float]:
        async with open_bank(run.installation, accounts=ACCOUNTS_AND_A_PAIR) as bank:
            return await _overload(run, bank)

    await run.alternate({"overload": overload}, min(ROUNDS, run.rounds))
    for figure in (Figure.REFUSED_SHARE, Figure.REFUSAL_P99):
        if figure not in run.figures:
            run.figures.leave_out("every request was acknowledged, so nothing was left to refuse", figure)


async def _overload(run: Run, bank: Bank) -> Mapping[Figure, float]:
    service = bank.service
    capacity = (await run.hammer(bank.hot, "http", service.http_port, service.pid)).rate
    probes: list[Probe] = []
    resident: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_probe, bank.cold_pair(), service.http_port, probes)
        await trio.sleep(QUIET_S)
        quiet_s = max(each.took_s for each in probes)
        nursery.start_soon(_watch_memory, service.pid, resident)
        flood = json.loads(await output(_flood(run, bank.hot, service.http_port, TIMES * capacity)))
        ended_s = trio.current_time() - flood["finish_s"]  # the overload is over when no more is sent
        await trio.sleep(AFTERWARDS_S)
        nursery.cancel_scope.cancel()
    refused = flood["refused"] + flood["late"]["refused"]
    otherwise = flood["other"] + flood["late"]["other"] + flood["cut_off"]
    figures = {
        Figure.CAPACITY: capacity,
        Figure.OFFERED: flood["sent"],
        Figure.GOODPUT: flood["ok"],
        Figure.REFUSED: flood["refused"],
        Figure.OTHERWISE: otherwise,
        Figure.REFUSED_SHARE: refused / (refused + otherwise) if refused + otherwise else None,
        Figure.REFUSAL_P99: flood["p99_ms"]["refused"],
        Figure.WAITED_P99: flood["p99_ms"]["ok"],
        Figure.GROWTH: max(resident) - resident[0],
        Figure.RECOVERY: recovery_s(probes, ended_s, quiet_s),
    }
    return {figure: value for figure, value in figures.items() if value is not None}


def recovery_s(probes: list[Probe], ended_s: float, quiet_s: float) -> float:
    """From the end until what is sent is answered as before; all that was watched, where it never was."""
    good = 0
    for number, probe in enumerate(probes):
        good = good + 1 if probe.ok and probe.took_s <= SLOWER_MAX * quiet_s else 0
        if good >= GOOD_IN_A_ROW and probe.sent_s >= ended_s:
            return max(0.0, probes[number - GOOD_IN_A_ROW + 1].sent_s - ended_s)
    return AFTERWARDS_S


async def _probe(plan: Plan, port: int, probes: list[Probe]) -> None:
    source, target = plan.accounts
    async with http_senders(plan, "127.0.0.1", port, 1) as (send,):
        while True:
            sent_s = trio.current_time()
            try:
                ok = (await send(source, target, 0)).code == OK
            except HttpFailed:
                ok = False
            probes.append(Probe(sent_s, trio.current_time() - sent_s, ok))
            await trio.sleep(PROBE_EVERY_S)


async def _watch_memory(pid: int, resident: list[float]) -> None:
    while True:
        resident.append(resident_mib(pid))
        await trio.sleep(0.1)


def _flood(run: Run, plan: Path, port: int, rate: float) -> list[str]:
    what = ["--plan", str(plan), "--port", str(port), "--connections", str(CONNECTIONS)]
    how = ["--rate", str(rate), "--seconds", str(SECONDS_TIMES * run.seconds)]
    return [sys.executable, "-m", "bench.flood", *what, *how]
