"""The other ways to be told to stop: too early, twice, without a server it needs, with somebody in its way.

Each is a variant of the shutdown drill: it ends the service, says what was promised, and leaves a successor running.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from cli.drill.asking import register
from cli.drill.books import connected
from cli.drill.installation import Service
from cli.drill.judge import Verdict
from cli.drill.stage import GRACE_S, Stage, sessions_left
from cli.drill.unread import stalled_readers
from persistence.connection import Connection

EARLY_TRIES = 3
EARLY_MAX_S = 1.0
"""After it has begun to catch signals; by then it may be ready."""
EARLY_S = 5.0
"""How long a service that has only begun to start may take to end."""
REGISTRATIONS = 3
AT_ONCE_S = 1.0
BETWEEN_S = 0.4
"""From the first signal to the second: so much later it is not the same one."""
SESSIONS_GONE_S = 3.0
"""PostgreSQL looks every second whether whoever waits in it is still there."""
TWICE = 128 + signal.SIGTERM


async def early(stage: Stage) -> list[Verdict]:
    """SIGTERM at several moments of a start, from when it is caught."""
    await _told_to_stop(stage)
    service, endings = stage.service, []
    for after_s in (0.0, *(stage.rng.uniform(0.0, EARLY_MAX_S) for _ in range(EARLY_TRIES - 1))):
        await service.start()
        await _until_caught(service)
        await trio.sleep(after_s)
        endings.append(await _told_to_stop(stage))
    left = await _sessions_left(stage)
    await _succeeded(stage)
    return [
        ended_early(endings),
        Verdict("and leaves no session in PostgreSQL", left == 0, f"{left} sessions"),
    ]


async def _until_caught(service: Service) -> None:
    """Before, nothing has been begun that the signal could not end by itself."""
    while not service.catches(signal.SIGTERM):
        await trio.sleep(0.005)


async def twice(stage: Stage) -> list[Verdict]:
    """The second SIGTERM comes while a transfer waits for a lock that nobody gives up."""
    async with stage.under_load():
        await trio.sleep(stage.seconds / 4)
        async with _row_lock(stage):
            await trio.sleep(BETWEEN_S)
            stage.service.signal(signal.SIGTERM)
            await trio.sleep(BETWEEN_S)
            status, took_s = await _told_to_stop(stage)
        await _succeeded(stage)
        await stage.recovered()
    return [ended_at_once(status, took_s)]


async def without_redis(stage: Stage) -> list[Verdict]:
    """Users register while it is away; their mails wait in the outbox."""
    redis, promised = stage.installation.redis, stage.load.history.addresses
    async with stage.under_load():
        await trio.sleep(stage.seconds / 4)
        await trio.to_thread.run_sync(redis.stop)
        for _ in range(REGISTRATIONS):
            address, registered = await register(stage.service.http_port, stage.rng)
            if registered.status == 201:
                promised.append(address)
        ending = await _told_to_stop(stage)
        await trio.to_thread.run_sync(redis.start)
        await _succeeded(stage)
        await stage.recovered()
    return [in_time("without Redis", *ending, f"{len(promised)} mails were promised until then")]


async def without_postgres(stage: Stage) -> list[Verdict]:
    """It is killed first, and there again only for the successor."""
    postgres = stage.installation.postgres
    async with stage.under_load():
        await trio.sleep(stage.seconds / 4)
        await trio.to_thread.run_sync(postgres.kill)
        await trio.sleep(BETWEEN_S)
        ending = await _told_to_stop(stage)
        await trio.to_thread.run_sync(postgres.start)
        await _succeeded(stage)
        await stage.recovered()
    return [in_time("without PostgreSQL", *ending)]


async def unread(stage: Stage) -> list[Verdict]:
    """There are an HTTP connection and a gRPC stream whose client has stopped reading."""
    async with stage.under_load():
        await trio.sleep(stage.seconds / 4)
        async with stalled_readers(stage.service, stage.load.plan) as asked_bytes:
            ending = await _told_to_stop(stage)
        await _succeeded(stage)
        await stage.recovered()
    stalled = f"{asked_bytes:,} bytes of requests, and a stream, whose answers nobody read"
    return [in_time("with clients that do not read", *ending, stalled)]


async def locked(stage: Stage) -> list[Verdict]:
    """Somebody else's transaction holds an account's row, and goes on holding it until the successor runs."""
    async with stage.under_load():
        await trio.sleep(stage.seconds / 4)
        async with _row_lock(stage) as foreign:
            await trio.sleep(BETWEEN_S)
            ending = await _told_to_stop(stage)
            left = await _sessions_left(stage)
            await _succeeded(stage)
            found = await foreign.execute("select 1")  # it was not the lock's end that let the service go
            assert await found.fetchone()
        recovery_s = await stage.recovered()
    return [
        in_time("with a transaction in its way", *ending),
        Verdict(
            "and rolls back what waits behind it", left == 0, f"{left} sessions, {recovery_s:.2f} s to go on"
        ),
    ]


@asynccontextmanager
async def _row_lock(stage: Stage) -> AsyncIterator[Connection]:
    account = stage.load.plan.accounts[0]
    async with connected(stage.database_url) as connection:
        await connection.execute("begin")
        await connection.execute("select from accounts where id = %s for update", [account])
        yield connection
        await connection.execute("rollback")


async def _told_to_stop(stage: Stage) -> tuple[int, float]:
    """Its exit status, and how long that took. Raises DrillFailed when it outlasts its grace."""
    terminated_s = stage.probe.mark("SIGTERM")
    stage.service.signal(signal.SIGTERM)
    status = await stage.ended()
    return status, stage.probe.mark("ended") - terminated_s


async def _succeeded(stage: Stage) -> None:
    await stage.service.start()
    await stage.service.wait_ready()
    stage.probe.mark("the successor is ready")


async def _sessions_left(stage: Stage) -> int:
    left = 1
    with trio.move_on_after(SESSIONS_GONE_S):
        while left := await sessions_left(stage.database_url):
            await trio.sleep(0.1)
    return left


def ended_early(endings: Sequence[tuple[int, float]]) -> Verdict:
    """In an orderly way, from the moment that it can be."""
    slowest_s = max(took_s for _, took_s in endings)
    kept = {status for status, _ in endings} == {0} and slowest_s <= EARLY_S
    statuses = ", ".join(str(status) for status, _ in endings)
    return Verdict(
        f"SIGTERM ends a start within {EARLY_S:g} s",
        kept,
        f"statuses {statuses}, the slowest {slowest_s:.2f} s",
    )


def ended_at_once(status: int, took_s: float) -> Verdict:
    """As a shell says of whom the signal ended."""
    kept = status == TWICE and took_s <= AT_ONCE_S
    return Verdict(f"a second SIGTERM ends it within {AT_ONCE_S:g} s", kept, f"{status} after {took_s:.2f} s")


def in_time(how: str, status: int, took_s: float, *more: str) -> Verdict:
    """An orderly end, whatever stood in its way."""
    promise = f"exit status 0 within SHUTDOWN_GRACE {how}"
    return Verdict(
        promise, status == 0 and took_s <= GRACE_S, "; ".join((f"{status} after {took_s:.2f} s", *more))
    )
