"""The one place where everything is put together: from settings to a supervision tree."""

from __future__ import annotations

import random
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from os import getpid

from actors.coordinator import Coordinator
from actors.delivery import Delivery, FileDelivery, SmtpDelivery, parse_smtp_url
from actors.email import EmailActor
from actors.feed import Feed
from actors.lane import Lane, LaneLimits
from actors.outbox_relay import OutboxRelay
from actors.registry import AccountRegistry
from actors.revocations import Revocations
from actors.supervisor import ChildSpec, Restart, Strategy, Supervisor
from actors.sweeper import Ages, Sweeper
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
from application.tokens import LEEWAY_S, Tokens
from application.transfers import Transfers
from application.users import Users
from application.verified_users import VerifiedUsers
from cli.settings import Settings
from persistence import accounts
from persistence.mail_queue import MailQueue
from persistence.pool import Pool, open_pool
from persistence.rate_limits import RateLimits
from persistence.redis import Redis, open_redis
from persistence.revoked_sessions import RevokedSessions
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


@dataclass(frozen=True, slots=True)
class Running:
    """What a process needs to run, and to end, the service."""

    root: Supervisor
    readiness: Readiness
    health: Health
    http: HttpServer
    grpc: GrpcServer

    def announce_drain(self) -> None:
        """From this moment on nobody should send work here."""
        self.readiness.drain()
        self.health.drain()
        self.http.announce_drain()


@asynccontextmanager
async def open_service(settings: Settings, *, database_url: str, redis_url: str) -> AsyncIterator[Running]:
    """Everything, wired and not yet started: `root.run` starts it."""
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
        async with pool.connection() as connection:
            settlement_ids = await accounts.settlement_accounts(connection, settings.currencies)
        passwords = Passwords(threads_max=limits.hash_threads)
        if settings.bootstrap_admin is not None:
            await bootstrap_admin(pool, passwords, *settings.bootstrap_admin)
        coordinator = Coordinator(registry := AccountRegistry(), batch_max=limits.batch_max)
        relay, mail = _mail(settings, pool, redis)
        kept_s = settings.access_token_duration.total_seconds() + LEEWAY_S
        revocations = Revocations(pool, RevokedSessions(redis, kept_s=kept_s), kept_s=kept_s)
        verified = VerifiedUsers(pool, required=settings.require_verified_email)
        users, mailed_links, sessions, authenticator = _identity(
            settings, pool, passwords, revocations, verified, relay, RateLimits(redis)
        )
        ledger = Ledger(
            pool,
            coordinator,
            settlement_ids=settlement_ids,
            currencies=settings.currencies,
            verified=verified,
            feed=(feed := Feed(pool)),
        )
        transfers = Transfers(coordinator, currencies=settings.currencies, verified=verified)
        service = Service(
            users,
            mailed_links,
            sessions,
            Security(pool),
            ledger,
            transfers,
            authenticator,
            (readiness := Readiness(pool)),
            limits.request_timeout_s,
            settings.trusted_proxies,
        )
        metrics = Metrics(lambda: root.statistics())
        grpc, health, gateway = _grpc(service, metrics, settings)
        http = HttpServer(
            create_app(service, metrics, gateway, allowed_origins=settings.allowed_origins),
            settings.http_server_address,
            grace_s=settings.shutdown_grace_s * 0.4,
            drain=gateway.drain,
            public_url=settings.public_url,
        )
        root = Supervisor(
            "service",
            [
                ChildSpec("revocations", revocations.run, statistics=revocations.statistics),
                _ledger(registry, coordinator, feed, pool, settings).spec(),
                mail.spec(),
                *_transports(http, gateway, grpc, settings),
            ],
            strategy=Strategy.REST_FOR_ONE,
        )
        yield Running(root, readiness, health, http, grpc)


def _identity(
    settings: Settings,
    pool: Pool,
    passwords: Passwords,
    revocations: Revocations,
    verified: VerifiedUsers,
    relay: OutboxRelay,
    limits: RateLimits,
) -> tuple[Users, MailedLinks, Sessions, Authenticator]:
    tokens = Tokens(settings.token_keys, issue=settings.token_format)
    throttle = Throttle(limits if settings.rate_limits else None)
    letters = Letters(
        seal=Seal(settings.token_keys),
        sender=Sender(settings.email_sender_name, settings.email_sender_address, settings.public_url),
        posted=relay.wake,
    )
    revoke = revocations.revoke
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
    return users, links, sessions, Authenticator(tokens, revocations.is_revoked)


def _ledger(
    registry: AccountRegistry, coordinator: Coordinator, feed: Feed, pool: Pool, settings: Settings
) -> Supervisor:
    lanes = [
        Lane(coordinator, pool, limits=LaneLimits(), random=random.random, committed=feed.committed)
        for _ in range(settings.limits.lanes)
    ]
    ages = Ages(keys=settings.limits.key_age, expired=settings.limits.expired_kept)
    sweeper = Sweeper(pool, ages, every_s=settings.limits.sweep_s)
    grace_s = settings.shutdown_grace_s * 0.2
    return Supervisor(
        "ledger",
        [
            ChildSpec(
                "accounts",
                registry.run,
                statistics=lambda: (registry.statistics(), coordinator.statistics(), pool.statistics()),
            ),
            ChildSpec("sweeper", sweeper.run),
            ChildSpec("feed", feed.run, statistics=feed.statistics),
            *(
                ChildSpec(
                    f"lane {number}",
                    lane.run,
                    restart=Restart.TRANSIENT,
                    stop=coordinator.close,
                    shutdown_s=grace_s,
                    statistics=lane.statistics,
                )
                for number, lane in enumerate(lanes, 1)
            ),
        ],
    )


def _mail(settings: Settings, pool: Pool, redis: Redis) -> tuple[OutboxRelay, Supervisor]:
    consumer = f"{socket.gethostname()}-{getpid()}-{secrets.token_hex(4)}"
    queue = MailQueue(redis, consumer)
    delivery: Delivery = (
        FileDelivery(settings.var_dir / "mail")
        if settings.smtp_url is None
        else SmtpDelivery(parse_smtp_url(settings.smtp_url))
    )
    relay = OutboxRelay(pool, queue, poll_s=settings.limits.outbox_poll_s, random=random.random)
    email = EmailActor(queue, delivery, unseal=Seal(settings.token_keys).unseal, random=random.random)
    supervisor = Supervisor(
        "mail",
        [
            ChildSpec("outbox relay", relay.run, statistics=relay.statistics),
            ChildSpec(
                "email",
                email.run,
                stop=email.stop,
                shutdown_s=settings.shutdown_grace_s * 0.2,
                statistics=email.statistics,
            ),
        ],
    )
    return relay, supervisor


def _grpc(service: Service, metrics: Metrics, settings: Settings) -> tuple[GrpcServer, Health, Gateway]:
    ours = [grpc_identity.Identity(service).service, grpc_ledger.Ledger(service).service]
    names = [each.name for each in ours]
    health = Health(names)
    listed = [*names, health.service.name]
    others = [health.service, ReflectionV1(listed).service, ReflectionV1Alpha(listed).service]
    methods = methods_of(ours, ruled=True) | methods_of(others, ruled=False)
    pipeline = Pipeline(interceptors(service, metrics, methods.values()))
    server = GrpcServer(methods, settings.grpc_server_address, pipeline=pipeline, tls=settings.grpc_tls)
    return server, health, Gateway(routes_of(services_named(names), methods), pipeline)


def _transports(http: HttpServer, gateway: Gateway, grpc: GrpcServer, settings: Settings) -> list[ChildSpec]:
    def stop_both() -> None:
        http.stop()
        grpc.stop()

    grace_s = settings.shutdown_grace_s * 0.5
    return [
        ChildSpec("grpc", grpc.run, stop=stop_both, shutdown_s=grace_s, statistics=grpc.statistics),
        ChildSpec("http", http.run, stop=stop_both, shutdown_s=grace_s, statistics=gateway.statistics),
    ]
