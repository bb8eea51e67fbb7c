"""What every drill stands on: an installation with running services, funded accounts, a load, and a judge."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from cli.credentials import Credentials, new_users
from cli.drill.books import connected, read_books
from cli.drill.history import POSTED, Attempt, Request
from cli.drill.installation import ROOT, SERVE, DrillFailed, Installation, Service, open_installation
from cli.drill.judge import Verdict, judge
from cli.drill.load import Load
from cli.drill.probe import Probe
from cli.drill.proxy import Link, Proxy, open_proxy
from cli.hammer.http_client import HttpFailed
from cli.hammer.plan import Plan
from cli.hammer.prepare import PreparationFailed, prepare_over_http

ACCOUNTS = 6
"""Few, so that all of them are hot."""
CURRENCY = "USD"
GRACE_S = 10.0
"""SHUTDOWN_GRACE of the drill's services."""
MARGIN_S = 1.0
"""What a process may need to be gone once its grace is over."""


class Stage:
    """Made by `open_stage`. `rng` is for everything that is left to chance, `seconds` for how long the drill is."""

    def __init__(
        self,
        installation: Installation,
        services: Sequence[Service],
        load: Load,
        rng: random.Random,
        seconds: float,
        proxies: Mapping[Link, Sequence[Proxy]],
    ) -> None:
        self.proxies = proxies
        self.installation = installation
        self.services = services
        self.load = load
        self.rng = rng
        self.seconds = seconds
        self.failed_over = False
        self.probe = Probe(services[0].http_port)

    @property
    def service(self) -> Service:
        """The only one, or the first."""
        return self.services[0]

    @property
    def database_url(self) -> str:
        """Past every proxy: for looking, not for the service."""
        server = self.installation.standby if self.failed_over else self.installation.postgres
        assert server is not None
        return server.url()

    @asynccontextmanager
    async def under_load(self, *, registrations: bool = False) -> AsyncIterator[None]:
        """The load and the probe, for the block; the service must be there at its end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.probe.watch_ready)
            nursery.start_soon(self.probe.watch_metrics)
            async with self.load.running(registrations=registrations):
                yield
            nursery.cancel_scope.cancel()

    async def joined(self) -> Service:
        """One more service, which is ready, and which the load does not know."""
        service = self.one_more()
        await service.start()
        await service.wait_ready()
        return service

    def one_more(self, code: Path | None = None) -> Service:
        """A service that is not started yet; `code` is another release's."""
        return _service(self.installation, len(self.services) + 1, code=code)

    async def ended(self, service: Service | None = None) -> int:
        """The exit status of a service that was told to stop; raises DrillFailed when it outlasts its grace."""
        service = service or self.service
        with trio.move_on_after(GRACE_S + MARGIN_S):
            return await service.wait()
        raise DrillFailed(f"the service still runs {GRACE_S + MARGIN_S:g} s after SIGTERM: see {service.log}")

    async def recovered(self) -> float:
        """How many seconds it takes until a transfer is acknowledged that was asked for from now on."""
        now, attempts = trio.current_time(), self.load.history.attempts
        seen = len(attempts)
        while not any(each.outcome == POSTED and each.began_s >= now for each in attempts[seen:]):
            await trio.sleep(0.01)
        return trio.current_time() - now

    async def judged(self) -> list[Verdict]:
        """What the judge says of the load's history."""
        return judge(self.load.history, await read_books(self.database_url, self.load.plan.accounts))


@asynccontextmanager
async def open_stage(
    folder: Path,
    rng: random.Random,
    seconds: float,
    *,
    services: int = 1,
    workers: int = 1,
    proxied: Collection[Link] = (),
    standby: bool = False,
    code: Path = ROOT,
    command: Sequence[str] = SERVE,
) -> AsyncIterator[Stage]:
    """In an empty folder, for the block; so many services run, of so many workers each, from the code in a folder.

    On the links that are `proxied` everything goes through proxies. `command` is what serves.

    Raises LocalServerError, and DatabaseFault.
    """
    async with open_installation(
        folder, code, proxied=proxied, standby=standby, command=command
    ) as installation:
        started = [_service(installation, number, workers) for number in range(1, services + 1)]
        for service in started:
            await service.start()
            await service.wait_ready()
        owner, plan = await _funded(installation.postgres.url(), started[0])
        async with AsyncExitStack() as stack:
            addresses = [(each.http_port, each.grpc_port) for each in started]
            proxies = {link: [proxy] for link, proxy in installation.proxies.items()}
            if Link.CLIENTS in proxied:
                behind = [
                    [await stack.enter_async_context(open_proxy(partial(_open_local, port))) for port in ports]
                    for ports in addresses
                ]
                addresses = [(http.port, grpc.port) for http, grpc in behind]
                proxies[Link.CLIENTS] = [proxy for pair in behind for proxy in pair]
            load = Load(owner, plan, rng, addresses)
            await _note_what_was_before(load, installation.postgres.url(), plan)
            yield Stage(installation, started, load, rng, seconds, proxies)


def _service(installation: Installation, number: int, workers: int = 1, *, code: Path | None = None) -> Service:
    return installation.service(f"service-{number}", code, SHUTDOWN_GRACE=f"{GRACE_S:g}s", WORKERS=str(workers))


async def _open_local(port: int) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", port)


async def _funded(database_url: str, service: Service) -> tuple[Credentials, Plan]:
    users = await new_users(database_url, "drill")
    try:
        plan = await prepare_over_http(
            "127.0.0.1", service.http_port, users, accounts=ACCOUNTS, hot=False, currency=CURRENCY
        )
    except (PreparationFailed, HttpFailed) as failure:
        raise DrillFailed(f"no accounts to drill with: {failure}") from failure
    return users, plan


def none_failed(attempts: Sequence[Attempt], why: str, within_s: float) -> Verdict:
    """The promise that no transfer fails, or takes longer than this, because of something."""
    failed = [each for each in attempts if each.outcome != POSTED]
    slowest_s = max((each.ended_s - each.began_s for each in attempts), default=0.0)
    detail = f"{len(attempts):,} transfers, the slowest {slowest_s:.2f} s"
    if failed:
        detail = f"{len(failed)} of {len(attempts):,} failed, the first with {failed[0].outcome}"
    return Verdict(
        f"no transfer fails because of {why}", bool(attempts) and not failed and slowest_s <= within_s, detail
    )


def moved_again(longest_s: float, within_s: float) -> Verdict:
    """The promise, and how long it took at the most."""
    return Verdict(
        f"money moves again within {within_s:g} s", longest_s <= within_s, f"{longest_s:.2f} s at the most"
    )


async def _note_what_was_before(load: Load, database_url: str, plan: Plan) -> None:
    books, now = await read_books(database_url, plan.accounts), trio.current_time()
    load.history.requests += (
        Request(f"before-{number}", *moved, began_s=now, ended_s=now, outcome=POSTED, transfer_id=number)
        for number, moved in books.transfers.items()
    )


async def sessions_left(database_url: str) -> int:
    """Of services, in PostgreSQL."""
    async with connected(database_url) as connection:
        found = await connection.execute(
            "select count(*) from pg_stat_activity where application_name = 'transactions'"
        )
        row = await found.fetchone()
        assert row is not None
        return int(row[0])
