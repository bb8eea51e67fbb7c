"""Rows 7 and 8: what a transfer and a look cost after a long history, and with many accounts.

Every measurement is on a database and a service of its own, filled anew, so that what is measured does not add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

from bench.bank import Bank, open_bank
from bench.figures import Figure
from bench.run import Load, Run
from cli.hammer.http_client import HttpClient
from cli.hammer.plan import Plan

HISTORIES = (1_000, 10_000, 100_000, 1_000_000)
ACCOUNTS = {100: Figure.ACCOUNTS_SMALL, 100_000: Figure.ACCOUNTS_LARGE}
ROUNDS = 2
BATCHES_IN_FLIGHT = 4
WARM_UP_S = 1.0
LOOKS = 300
WARM_UP_LOOKS = 20


@dataclass(frozen=True, slots=True)
class _Cost:
    """Transfers a second, and the median milliseconds of a look at the hot account."""

    rate: float
    balance_ms: float
    entries_ms: float


async def measure(run: Run) -> None:
    """The sizes in turn, twice; the quick way only the least and the largest, once."""
    costs: dict[int, list[_Cost]] = {}
    histories = (HISTORIES[0], HISTORIES[-1]) if run.quick else HISTORIES
    sides = {
        f"after {history:,} transfers": partial(_after, run, history, costs.setdefault(history, []))
        for history in histories
    }
    sides |= {f"over {number:,} accounts": partial(_over, run, number) for number in ACCOUNTS}
    await run.alternate(sides, min(ROUNDS, run.rounds))
    medians = {
        history: _Cost(*map(median, zip(*((c.rate, c.balance_ms, c.entries_ms) for c in each), strict=True)))
        for history, each in costs.items()
    }
    base = medians[HISTORIES[0]]
    run.charts["history"] = {
        "a transfer": [(history, base.rate / cost.rate) for history, cost in medians.items()],
        "a balance": [(history, cost.balance_ms / base.balance_ms) for history, cost in medians.items()],
        "a page of entries": [
            (history, cost.entries_ms / base.entries_ms) for history, cost in medians.items()
        ],
    }


async def _after(run: Run, history: int, costs: list[_Cost]) -> Mapping[Figure, float]:
    async with open_bank(run.installation, history=history) as bank:
        balance_ms, entries_ms = await _looks(bank)
        load = await _batches(run, bank, bank.hot)
    cost = _Cost(load.rate, balance_ms, entries_ms)
    costs.append(cost)
    if history == HISTORIES[0]:
        return {
            Figure.HISTORY_SMALL: cost.rate,
            Figure.BALANCE_SMALL: balance_ms,
            Figure.ENTRIES_SMALL: entries_ms,
        }
    if history == HISTORIES[-1]:
        return {
            Figure.HISTORY_LARGE: cost.rate,
            Figure.BALANCE_LARGE: balance_ms,
            Figure.ENTRIES_LARGE: entries_ms,
        }
    return {}


async def _looks(bank: Bank) -> tuple[float, float]:
    plan = Plan.read(bank.hot)
    path = f"/v1/accounts/{plan.accounts[0]}"
    headers = {"Authorization": f"Bearer {plan.token}"}
    async with HttpClient("127.0.0.1", bank.service.http_port, headers) as client:
        for _ in range(WARM_UP_LOOKS):
            await _look_ms(client, path)
            await _look_ms(client, f"{path}/entries")
        took = [(await _look_ms(client, path), await _look_ms(client, f"{path}/entries")) for _ in range(LOOKS)]
    balances, pages = zip(*took, strict=True)
    return median(balances), median(pages)


async def _look_ms(client: HttpClient, path: str) -> float:
    began = perf_counter()
    status, _ = await client.request("GET", path)
    assert status == 200
    return (perf_counter() - began) * 1000


async def _over(run: Run, accounts: int) -> Mapping[Figure, float]:
    async with open_bank(run.installation, accounts=accounts) as bank:
        load = await _batches(run, bank, bank.uniform)
    return {ACCOUNTS[accounts]: load.rate}


async def _batches(run: Run, bank: Bank, plan: Path) -> Load:
    """Once the pages that were just filled have been written to: the first time costs the log a whole page."""
    port, pid = bank.service.grpc_port, bank.service.pid
    await run.load("batches", plan, port, pid, BATCHES_IN_FLIGHT, seconds=WARM_UP_S)
    return await run.load("batches", plan, port, pid, BATCHES_IN_FLIGHT)
