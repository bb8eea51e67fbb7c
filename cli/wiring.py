"""The one place where everything is put together: from settings to a supervision tree."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import trio

from actors.restarts import RestartIntensityExceeded
from actors.supervisor import ChildSpec, Start, Supervisor
from application.appointments import bootstrap_admin
from application.authentication import Authenticator
from application.ledger import Ledger
from application.letters import Letters
from application.mail import Seal, Sender
from application.mailed_links import MailedLinks
from application.passwords import Passwords
from application.security import Security
from application.service import Readiness, Service
from application.sessions import Durations, Sessions
from application.throttle import Throttle
from application.tokens import Tokens
from application.transfers import Transfers
from application.users import Users
from application.verified_users import VerifiedUsers
from cli.drain import CHILD, DrainTimes
from cli.settings import Settings, StartFailed
from cli.tree import Actors, actors_of, root_of
from persistence import accounts
from persistence.faults import DatabaseFault
from persistence.pool import Pool, open_pool
from persistence.rate_limits import RateLimits
from persistence.redis import Redis, RedisRefuses, RedisUnavailable, open_redis
from transport.admission import Admission
from transport.gateway.gateway import Gateway
from transport.gateway.routes import routes_of, services_named
from transport.grpc import identity as grpc_identity
from transport.grpc import ledger as grpc_ledger
from transport.grpc.health import Health
from transport.grpc.interceptors import interceptors
from transport.grpc.methods import methods_of
from transport.grpc.pipeline import Pipeline
from transport.grpc.reflection import ReflectionV1, ReflectionV1Alpha
from transport.grpc.server import GrpcServer
from transport.http.server import HttpServer, create_app
from transport.metrics import Metrics

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stores:
    """Where everything is kept, and what of it was read or made at the start."""

    pool: Pool
    redis: Redis
    passwords: Passwords
    settlement_ids: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Worker:
    """What a process has of others where it is one of several: bound sockets, and what all tell of themselves."""

    name: str
    http: Sequence[socket.socket]
    grpc: Sequence[socket.socket]
    metrics_of_all: Callable[[], Awaitable[bytes]]

    def close(self) -> None:
        """Our servers' duplicates listen on, until they are stopped."""
        for each in (*self.http, *self.grpc):
            each.close()


@dataclass(frozen=True, slots=True)
class Running:
    """What a process needs to run, and to end, the service."""

    root: Supervisor
    metrics: Metrics
    readiness: Readiness
    health: Health
    http: HttpServer
    grpc: GrpcServer
    times: DrainTimes
    worker: Worker | None = None

    @property
    def listen_s(self) -> float:
        """Between the drain's announcement and the stop."""
        return self.times.listen_s

    async def run(self) -> int:
        """Exit status 0 after an orderly drain, 1 when the service had to give up."""
        try:
            await self.root.run()
        except RestartIntensityExceeded:
            log.exception("the service gave up")
            return 1
        return 0

    async def wait_listening(self) -> None:
        """Until both servers do."""
        await self.http.listening.wait()
        await self.grpc.listening.wait()

    def announce_drain(self) -> None:
        """From this moment on nobody should send work here."""
        self.readiness.drain()
        self.health.drain()
        self.http.announce_drain()
        if self.worker is not None and self.http.listening.is_set() and self.grpc.listening.is_set():
            self.worker.close()  # a server that has yet to start would have nothing to start on


@asynccontextmanager
async def open_service(
    settings: Settings, *, database_url: str, redis_url: str, worker: Worker | None = None
) -> AsyncIterator[Running]:
    """Everything, wired and not yet started: `root.run` starts it. Raises StartFailed."""
    async with _open_stores(settings, database_url, redis_url) as stores:
        actors = actors_of(settings, stores.pool, stores.redis)
        service = _service(settings, stores, actors)
        yield _running(settings, service, actors, worker)


@asynccontextmanager
async def _open_stores(settings: Settings, database_url: str, redis_url: str) -> AsyncIterator[Stores]:
    limits = settings.limits
    async with (
        open_pool(
            database_url,
            size_max=limits.pool_connections,
            checkout_timeout_s=limits.checkout_timeout_s,
            statement_timeout_s=limits.statement_timeout_s,
        ) as pool,
        open_redis(redis_url) as redis,
    ):
        passwords = Passwords(threads_max=limits.hash_threads)
        await _check_redis(redis)
        try:
            settlement_ids = await _prepared(settings, pool, passwords)
        except DatabaseFault as fault:
            raise StartFailed(f"DATABASE_URL: {fault}") from fault
        yield Stores(pool, redis, passwords, settlement_ids)


async def _check_redis(redis: Redis) -> None:
    try:
        await redis.ping()
    except RedisRefuses as fault:
        raise StartFailed(f"REDIS_URL: {fault}") from fault
    except RedisUnavailable as fault:  # money does not need it, and it may come back
        log.warning(
            "REDIS_URL: mails wait, and this process counts tries for itself, until it is there: %s", fault
        )


async def _prepared(settings: Settings, pool: Pool, passwords: Passwords) -> dict[str, int]:
    async with pool.connection() as connection:
        settlement_ids = await accounts.settlement_accounts(connection, settings.currencies)
    if settings.bootstrap_admin is not None:
        await bootstrap_admin(pool, passwords, *settings.bootstrap_admin)
    return settlement_ids


def _service(settings: Settings, stores: Stores, actors: Actors) -> Service:
    pool, coordinator, currencies = stores.pool, actors.coordinator, settings.currencies
    verified = VerifiedUsers(pool, required=settings.require_verified_email)
    users, mailed_links, sessions, authenticator = _identity(settings, stores, actors, verified)
    ledger = Ledger(
        pool,
        coordinator,
        settlement_ids=stores.settlement_ids,
        currencies=currencies,
        verified=verified,
        feed=actors.feed,
    )
    return Service(
        users,
        mailed_links,
        sessions,
        Security(pool),
        ledger,
        Transfers(coordinator, currencies=currencies, verified=verified),
        authenticator,
        Readiness(pool),
        settings.limits.request_timeout_s,
        settings.trusted_proxies,
    )


def _identity(
    settings: Settings, stores: Stores, actors: Actors, verified: VerifiedUsers
) -> tuple[Users, MailedLinks, Sessions, Authenticator]:
    pool, passwords, revoke = stores.pool, stores.passwords, actors.revocations.revoke
    tokens = Tokens(settings.token_keys, issue=settings.token_format)
    throttle = Throttle(RateLimits(stores.redis) if settings.rate_limits else None)
    letters = Letters(
        seal=Seal(settings.token_keys),
        sender=Sender(settings.email_sender_name, settings.email_sender_address, settings.public_url),
        posted=actors.relay.wake,
    )
    users = Users(
        pool, passwords=passwords, throttle=throttle, verified=verified, revoke=revoke, letters=letters
    )
    links = MailedLinks(pool, passwords=passwords, throttle=throttle, revoke=revoke, letters=letters)
    sessions = Sessions(
        pool,
        tokens=tokens,
        passwords=passwords,
        throttle=throttle,
        durations=Durations(settings.access_token_duration, settings.refresh_token_duration),
        revoke=revoke,
    )
    return users, links, sessions, Authenticator(tokens, actors.revocations.is_revoked)


def _running(settings: Settings, service: Service, actors: Actors, worker: Worker | None) -> Running:
    times = DrainTimes.within(settings.shutdown_grace_s)
    metrics = Metrics(
        lambda: root.statistics(),
        worker=worker.name if worker else None,
        of_all=worker.metrics_of_all if worker else None,
    )
    admission = Admission()
    grpc, health, gateway = _grpc(service, metrics, settings, admission, worker)
    http = HttpServer(
        create_app(service, metrics, gateway, allowed_origins=settings.allowed_origins),
        settings.http_server_address,
        grace_s=CHILD * times.servers_s,
        drain=gateway.drain,
        public_url=settings.public_url,
        admission=admission,
        shared=worker.http if worker else (),
    )
    root = root_of(actors, _servers(http, gateway, grpc, settings, times), times)
    return Running(root, metrics, service.readiness, health, http, grpc, times, worker)


def _grpc(
    service: Service, metrics: Metrics, settings: Settings, admission: Admission, worker: Worker | None
) -> tuple[GrpcServer, Health, Gateway]:
    ours = [grpc_identity.Identity(service).service, grpc_ledger.Ledger(service).service]
    names = [each.name for each in ours]
    health = Health(names)
    listed = [*names, health.service.name]
    others = [health.service, ReflectionV1(listed).service, ReflectionV1Alpha(listed).service]
    methods = methods_of(ours, ruled=True) | methods_of(others, ruled=False)
    pipeline = Pipeline(interceptors(service, metrics, methods.values()))
    server = GrpcServer(
        methods,
        settings.grpc_server_address,
        pipeline=pipeline,
        tls=settings.grpc_tls,
        admission=admission,
        shared=worker.grpc if worker else (),
    )
    return server, health, Gateway(routes_of(services_named(names), methods), pipeline)


def _servers(
    http: HttpServer, gateway: Gateway, grpc: GrpcServer, settings: Settings, times: DrainTimes
) -> list[ChildSpec]:
    def stop_both() -> None:
        http.stop()
        grpc.stop()

    def server(
        name: str, run: Start, variable: str, address: str, statistics: Callable[[], object]
    ) -> ChildSpec:
        start = _naming(variable, address, run)
        return ChildSpec(name, start, stop=stop_both, shutdown_s=CHILD * times.servers_s, statistics=statistics)

    return [
        server("grpc", grpc.run, "GRPC_SERVER_ADDRESS", settings.grpc_server_address, grpc.statistics),
        server("http", http.run, "HTTP_SERVER_ADDRESS", settings.http_server_address, gateway.statistics),
    ]


def _naming(variable: str, address: str, run: Start) -> Start:
    async def start(*, task_status: trio.TaskStatus[None]) -> None:
        with listening_on(variable, address):
            await run(task_status=task_status)

    return start


@contextmanager
def listening_on(variable: str, address: str) -> Iterator[None]:
    """Says where one can not; raises StartFailed."""
    try:
        yield
    except OSError as error:
        raise StartFailed(f"{variable}: can not listen on {address}: {error.strerror or error}") from error
