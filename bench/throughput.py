"""Rows 1 to 5: transfers a second, by every way of asking for them, in turn with the peer and the bare echoes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

from bench.bank import Bank, open_bank, serving
from bench.echoes import Echo, open_echo
from bench.figures import Figure
from bench.run import Load, Run, Side
from bench.statements import Statements
from cli.drill.installation import DrillFailed, Service
from cli.hammer.plan import Plan
from persistence.connection import open_connection

ACCOUNTS = 10_000
STATEMENTS_BATCH = 512
BATCHES_IN_FLIGHT = 4
STREAM_IN_FLIGHT = 1_000
CHANNELS = 8
"""Of each client of two processes, which the kernel spreads over them."""


async def measure(run: Run) -> None:
    """All sides, once a round."""
    async with AsyncExitStack() as stack:
        bank = await stack.enter_async_context(open_bank(run.installation, accounts=ACCOUNTS))
        sides = {**_peers(run), **_single(run, bank), **_many(run, bank)}
        for kind, figures in (
            ("http", (Figure.ECHO_HTTP, Figure.ECHO_HTTP_CPU)),
            ("grpc", (Figure.ECHO_GRPC, Figure.ECHO_GRPC_CPU)),
            ("purerpc", (Figure.ECHO_PURERPC, Figure.ECHO_PURERPC_CPU)),
        ):
            echo = await stack.enter_async_context(open_echo(kind))
            sides[f"echo, {kind}"] = partial(_echo, run, bank, kind, echo, *figures)
        connection = await open_connection(bank.database_url)
        stack.callback(connection.abandon)
        plan = Plan.read(bank.hot)
        statements = Statements(connection, plan.accounts, bank.owner, plan.currency)
        sides["statements alone"] = partial(_statements, run, statements)
        two = run.installation.service("two", DATABASE_URL=bank.database_url, WORKERS="2")
        try:
            await stack.enter_async_context(serving(two))
            sides |= _two(run, bank, two)
        except DrillFailed as refusal:
            run.figures.leave_out(
                str(refusal), Figure.HTTP_2, Figure.HTTP_2_CPU, Figure.GRPC_2, Figure.GRPC_2_CPU
            )
        await run.alternate(sides)


def _peers(run: Run) -> dict[str, Side]:
    async def peer(figure: Figure, script: str, clients: int) -> Mapping[Figure, float]:
        return {figure: await run.peer(script, clients)}

    return {
        f"peer, {script}, {clients}": partial(peer, figure, script, clients)
        for figure, script, clients in (
            (Figure.PEER_HOT_64, "hot", 64),
            (Figure.PEER_HOT_8, "hot", 8),
            (Figure.PEER_UNIFORM_64, "uniform", 64),
            (Figure.PEER_UNIFORM_8, "uniform", 8),
        )
    }


def _single(run: Run, bank: Bank) -> dict[str, Side]:
    service = bank.service

    async def http() -> Mapping[Figure, float]:
        load = await run.hammer(bank.hot, "http", service.http_port, service.pid)
        return {Figure.HTTP: load.rate, Figure.HTTP_CPU: load.cpu_us}

    async def grpc() -> Mapping[Figure, float]:
        load = await run.hammer(bank.hot, "grpc", service.grpc_port, service.pid)
        return {Figure.GRPC: load.rate, Figure.GRPC_CPU: load.cpu_us}

    return {"HTTP": http, "gRPC": grpc}


def _many(run: Run, bank: Bank) -> dict[str, Side]:
    port, pid = bank.service.grpc_port, bank.service.pid

    async def stream() -> Mapping[Figure, float]:
        return {Figure.STREAM: (await run.load("stream", bank.hot, port, pid, STREAM_IN_FLIGHT)).rate}

    async def batch() -> Mapping[Figure, float]:
        return {Figure.BATCH: (await run.load("batches", bank.hot, port, pid, BATCHES_IN_FLIGHT)).rate}

    async def uniform() -> Mapping[Figure, float]:
        return {Figure.UNIFORM: (await run.load("batches", bank.uniform, port, pid, BATCHES_IN_FLIGHT)).rate}

    return {"stream": stream, "batches": batch, "batches, uniform": uniform}


async def _echo(
    run: Run, bank: Bank, kind: str, echo: Echo, rate: Figure, cpu: Figure
) -> Mapping[Figure, float]:
    protocol = "http" if kind == "http" else "grpc"
    load = await run.hammer(bank.hot, protocol, echo.port, echo.pid)
    return {rate: load.rate, cpu: load.cpu_us}


async def _statements(run: Run, statements: Statements) -> Mapping[Figure, float]:
    return {Figure.STATEMENTS: await statements.run(STATEMENTS_BATCH, run.seconds) / run.seconds}


def _two(run: Run, bank: Bank, service: Service) -> dict[str, Side]:
    async def http() -> Mapping[Figure, float]:
        load = await run.hammer(bank.hot, "http", service.http_port, service.pid)
        return {Figure.HTTP_2: load.rate, Figure.HTTP_2_CPU: load.cpu_us}

    async def grpc() -> Mapping[Figure, float]:
        load: Load = await run.hammer(
            bank.hot, "grpc", service.grpc_port, service.pid, "--channels", str(CHANNELS), clients=2
        )
        return {Figure.GRPC_2: load.rate, Figure.GRPC_2_CPU: load.cpu_us}

    return {"HTTP, two processes": http, "gRPC, two processes": grpc}
