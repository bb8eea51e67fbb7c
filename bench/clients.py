"""For the charts: the rate by number of clients, beside the peer, and how large the batches are meanwhile."""

from __future__ import annotations

import sys

from bench.bank import Bank, open_bank
from bench.run import Points, Run
from cli.drill.probe import BATCHES, ORDERS, Numbers, numbers
from cli.hammer.http_client import HttpClient

CLIENTS = (1, 4, 16, 64, 256)
QUICK_CLIENTS = (4, 64)
PEER_CLIENTS_MAX = 64
"""PostgreSQL takes a hundred connections by default."""


async def measure(run: Run) -> None:
    """One round: the shape counts, and not the figures."""
    rates: dict[str, Points] = {"peer": [], "HTTP": [], "gRPC": []}
    sizes: dict[str, Points] = {"HTTP": [], "gRPC": []}
    async with open_bank(run.installation) as bank:
        for clients in QUICK_CLIENTS if run.quick else CLIENTS:
            if clients <= PEER_CLIENTS_MAX:
                rates["peer"].append((clients, await run.peer("hot", clients)))
            for name, protocol in (("HTTP", "http"), ("gRPC", "grpc")):
                rate, size = await _measured(run, bank, protocol, clients)
                rates[name].append((clients, rate))
                sizes[name].append((clients, size))
            print(f"{clients} clients: {[line[-1][1] for line in rates.values()]}", file=sys.stderr, flush=True)
    run.charts |= {"rate": rates, "batches": sizes}


async def _measured(run: Run, bank: Bank, protocol: str, clients: int) -> tuple[float, float]:
    service = bank.service
    port = service.http_port if protocol == "http" else service.grpc_port
    before = await _counted(bank)
    load = await run.hammer(bank.hot, protocol, port, service.pid, connections=clients)
    after = await _counted(bank)
    batches, orders = (after[name] - before[name] for name in (BATCHES, ORDERS))
    return load.rate, orders / batches


async def _counted(bank: Bank) -> Numbers:
    async with HttpClient("127.0.0.1", bank.service.http_port) as client:
        _, body = await client.request("GET", "/metrics")
    return numbers(body.decode())
