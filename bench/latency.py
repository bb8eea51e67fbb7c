"""Row 6: latencies at half of the maximum rate, and those of a cold pair while another account is hammered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple

import trio

from bench.bank import ACCOUNTS_AND_A_PAIR, Bank, open_bank
from bench.figures import Figure
from bench.run import CONNECTIONS, Load, Run, Side

COLD_RATE = 100.0
"""Transfers a second between the two accounts that nobody hammers."""
COLD_SENDERS = 10
NAMES = {"http": "HTTP", "grpc": "gRPC"}
PERCENTILES = ("p50", "p95", "p99")


class _Figures(NamedTuple):
    p50: Figure
    p99: Figure
    kept: Figure
    quiet_p99: Figure
    cold_p99: Figure


FIGURES = {
    "http": _Figures(
        Figure.HALF_HTTP_P50,
        Figure.HALF_HTTP_P99,
        Figure.HALF_HTTP_KEPT,
        Figure.QUIET_HTTP_P99,
        Figure.COLD_HTTP_P99,
    ),
    "grpc": _Figures(
        Figure.HALF_GRPC_P50,
        Figure.HALF_GRPC_P99,
        Figure.HALF_GRPC_KEPT,
        Figure.QUIET_GRPC_P99,
        Figure.COLD_GRPC_P99,
    ),
}


async def measure(run: Run) -> None:
    """The maximum is the rate of 64 senders who wait for their answers, measured just before."""
    async with open_bank(run.installation, accounts=ACCOUNTS_AND_A_PAIR) as bank:
        cold = run.installation.folder / "cold.json"
        bank.cold_pair().write(cold)
        sides: dict[str, Side] = {}
        ways = [_Way(run, bank, protocol, cold) for protocol in FIGURES]
        for way in ways:
            await way.find_maximum()
            sides |= {
                f"{way.protocol}, half of the maximum": way.half,
                f"{way.protocol}, cold pair alone": way.quiet,
                f"{way.protocol}, cold pair beside": way.beside,
            }
        await run.alternate(sides)
    run.charts["latency"] = {
        f"{NAMES[way.protocol]}, {name}": [
            (float(p.removeprefix("p")), median(load.latency_ms[p] for load in loads)) for p in PERCENTILES
        ]
        for way in ways
        for name, loads in way.loads.items()
    }


@dataclass
class _Way:
    """One protocol; `loads` has all that was measured, by what it was."""

    run: Run
    bank: Bank
    protocol: str
    cold: Path
    rate_max: float = 0.0
    loads: dict[str, list[Load]] = field(default_factory=lambda: defaultdict(list))

    async def find_maximum(self) -> None:
        load = await self._hammer()
        self.rate_max = load.rate
        self.loads["maximum"].append(load)

    async def half(self) -> Mapping[Figure, float]:
        rate = self.rate_max / 2
        load = await self._paced("half of it", self.bank.hot, rate, CONNECTIONS)
        return {
            self._figures.p50: load.latency_ms["p50"],
            self._figures.p99: load.latency_ms["p99"],
            self._figures.kept: load.rate / rate,
        }

    async def quiet(self) -> Mapping[Figure, float]:
        load = await self._paced("cold pair alone", self.cold, COLD_RATE, COLD_SENDERS)
        return {self._figures.quiet_p99: load.latency_ms["p99"]}

    async def beside(self) -> Mapping[Figure, float]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hammer)
            load = await self._paced("cold pair beside", self.cold, COLD_RATE, COLD_SENDERS)
        return {self._figures.cold_p99: load.latency_ms["p99"]}

    async def _hammer(self) -> Load:
        return await self.run.hammer(self.bank.hot, self.protocol, self._port, self.bank.service.pid)

    async def _paced(self, name: str, plan: Path, rate: float, senders: int) -> Load:
        how = ("--protocol", self.protocol, "--rate", str(rate))
        load = await self.run.load("paced", plan, self._port, self.bank.service.pid, senders, *how)
        self.loads[name].append(load)
        return load

    @property
    def _figures(self) -> _Figures:
        return FIGURES[self.protocol]

    @property
    def _port(self) -> int:
        service = self.bank.service
        return service.http_port if self.protocol == "http" else service.grpc_port
