"""Rows 7 and 8: what a transfer and a look cost after a long history, and with many accounts.

Every size has a database and a service of its own, filled beforehand; they take turns in short segments, so that
the small ones do not grow much by being measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

from bench.bank import Bank, open_bank
from bench.figures import Figure
from bench.run import Run, Side
from cli.hammer.http_client import HttpClient
from cli.hammer.plan import Plan

HISTORIES = (1_000, 10_000, 100_000, 1_000_000)
SMALL, LARGE = HISTORIES[0], HISTORIES[-1]
HISTORY_FIGURES = {
    SMALL: (Figure.HISTORY_SMALL, Figure.BALANCE_SMALL, Figure.ENTRIES_SMALL),
    LARGE: (Figure.HISTORY_LARGE, Figure.BALANCE_LARGE, Figure.ENTRIES_LARGE),
}
ACCOUNTS_FIGURES = {100: Figure.ACCOUNTS_SMALL, 100_000: Figure.ACCOUNTS_LARGE}
ROUNDS, QUICK_ROUNDS = 5, 3
SEGMENT_S = 1.0
BATCHES_IN_FLIGHT = 4
LOOKS = 100


@dataclass(frozen=True, slots=True)
class _Cost:
    """Transfers a second, and the median milliseconds of a look at the hot account."""

    rate: float
    balance_ms: float
    entries_ms: float


async def measure(run: Run) -> None:
    """All sizes; the quick way only the least and the largest."""
    costs: dict[int, list[_Cost]] = {history: [] for history in ((SMALL, LARGE) if run.quick else HISTORIES)}
    async with AsyncExitStack() as stack:
        sides: dict[str, Side] = {}
        for history in costs:
            bank = await stack.enter_async_context(open_bank(run.installation, history=history))
            await _rate(run, bank, bank.hot)
            sides[f"after {history:,} transfers"] = partial(_after, run, bank, history, costs[history])
        for number, figure in ACCOUNTS_FIGURES.items():
            bank = await stack.enter_async_context(open_bank(run.installation, accounts=number))
            await _rate(run, bank, bank.uniform)
            sides[f"over {number:,} accounts"] = partial(_over, run, bank, figure)
        await run.alternate(sides, QUICK_ROUNDS if run.quick else ROUNDS)
    run.charts["history"] = _relative(costs)


def _relative(costs: Mapping[int, list[_Cost]]) -> dict[str, list[tuple[float, float]]]:
    rate, balance, entries = (
        {history: median(getattr(cost, name) for cost in each) for history, each in costs.items()}
        for name in ("rate", "balance_ms", "entries_ms")
    )
    return {
        "a transfer": [(history, rate[SMALL] / value) for history, value in rate.items()],
        "a balance": [(history, value / balance[SMALL]) for history, value in balance.items()],
        "a page of entries": [(history, value / entries[SMALL]) for history, value in entries.items()],
    }


async def _after(run: Run, bank: Bank, history: int, costs: list[_Cost]) -> Mapping[Figure, float]:
    cost = _Cost(await _rate(run, bank, bank.hot), *await _looks_ms(bank))
    costs.append(cost)
    values = (cost.rate, cost.balance_ms, cost.entries_ms)
    return dict(zip(HISTORY_FIGURES.get(history, ()), values, strict=False))


async def _over(run: Run, bank: Bank, figure: Figure) -> Mapping[Figure, float]:
    return {figure: await _rate(run, bank, bank.uniform)}


async def _rate(run: Run, bank: Bank, plan: Path) -> float:
    """Also the warm-up: the first write to a page that was just filled costs the log all of it."""
    port, pid = bank.service.grpc_port, bank.service.pid
    load = await run.load("batches", plan, port, pid, BATCHES_IN_FLIGHT, seconds=SEGMENT_S)
    return load.rate


async def _looks_ms(bank: Bank) -> tuple[float, float]:
    plan = Plan.read(bank.hot)
    path = f"/v1/accounts/{plan.accounts[0]}"
    headers = {"Authorization": f"Bearer {plan.token}"}
    async with HttpClient("127.0.0.1", bank.service.http_port, headers) as client:
        took = [(await _look_ms(client, path), await _look_ms(client, f"{path}/entries")) for _ in range(LOOKS)]
    balances, pages = zip(*took, strict=True)
    return median(balances), median(pages)


async def _look_ms(client: HttpClient, path: str) -> float:
    began = perf_counter()
    status, _ = await client.request("GET", path)
    assert status == 200
    return (perf_counter() - began) * 1000
