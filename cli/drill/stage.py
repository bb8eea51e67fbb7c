"""What every drill stands on: an installation with a running service, funded accounts, a load, and a judge."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from cli.credentials import Credentials, new_users
from cli.drill.books import read_books
from cli.drill.history import POSTED, Request
from cli.drill.installation import Installation, Service, open_installation
from cli.drill.judge import Verdict, judge
from cli.drill.load import Load
from cli.drill.probe import Probe
from cli.hammer.plan import Plan
from cli.hammer.prepare import prepare_over_http

ACCOUNTS = 6
"""Few, so that all of them are hot."""
CURRENCY = "USD"


class Stage:
    """Made by `open_stage`. `rng` is for everything that is left to chance, `seconds` for how long the drill is."""

    def __init__(
        self,
        installation: Installation,
        service: Service,
        plan: Plan,
        load: Load,
        rng: random.Random,
        seconds: float,
    ) -> None:
        self.installation = installation
        self.service = service
        self.load = load
        self.rng = rng
        self.seconds = seconds
        self.probe = Probe(service.http_port)
        self._plan = plan

    @property
    def database_url(self) -> str:
        """Past every proxy: for looking, not for the service."""
        return self.installation.postgres.url()

    @asynccontextmanager
    async def under_load(self, *, movers: int = 8, registrations: bool = False) -> AsyncIterator[None]:
        """The load and the probe, for the block; the service must be there at its end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.probe.watch_ready)
            nursery.start_soon(self.probe.watch_batches)
            async with self.load.running(movers=movers, registrations=registrations):
                yield
            nursery.cancel_scope.cancel()

    async def judged(self) -> list[Verdict]:
        """What the judge says of the load's history."""
        return judge(self.load.history, await read_books(self.database_url, self._plan.accounts))


@asynccontextmanager
async def open_stage(
    folder: Path, rng: random.Random, seconds: float, **environment: str
) -> AsyncIterator[Stage]:
    """In an empty folder, for the block; the service runs with these settings. Raises DrillFailed and the like."""
    async with open_installation(folder) as installation:
        service = installation.service(**environment)
        await service.start()
        await service.wait_ready()
        owner, plan = await _funded(installation.postgres.url(), service)
        load = Load(owner, plan, rng, http_port=service.http_port, grpc_port=service.grpc_port)
        await _note_what_was_before(load, installation.postgres.url(), plan)
        yield Stage(installation, service, plan, load, rng, seconds)


async def _funded(database_url: str, service: Service) -> tuple[Credentials, Plan]:
    users = await new_users(database_url, "drill")
    plan = await prepare_over_http(
        "127.0.0.1", service.http_port, users, accounts=ACCOUNTS, hot=False, currency=CURRENCY
    )
    return users, plan


async def _note_what_was_before(load: Load, database_url: str, plan: Plan) -> None:
    books, now = await read_books(database_url, plan.accounts), trio.current_time()
    load.history.requests += (
        Request(f"before-{number}", *moved, began_s=now, ended_s=now, outcome=POSTED, transfer_id=number)
        for number, moved in books.transfers.items()
    )
