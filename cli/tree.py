"""The actors of a service and their supervision: who is restarted alone, and whose troubles are everybody's.

What moves money escalates: a ledger or a server that crashes on and on is an orderly drain, for another process
may fare better. What only serves them never does: it is started again after a pause, for ever.
"""

from __future__ import annotations

import random
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from os import getpid

from actors.coordinator import Coordinator
from actors.delivery import Delivery, FileDelivery, SmtpDelivery, parse_smtp_url
from actors.email import EmailActor
from actors.feed import Feed
from actors.lane import Lane, LaneLimits
from actors.outbox_relay import OutboxRelay
from actors.registry import AccountRegistry
from actors.restarts import Backoff
from actors.revocations import Revocations
from actors.supervisor import ChildSpec, Restart, Supervisor
from actors.sweeper import Ages, Sweeper
from application.mail import Seal
from application.tokens import LEEWAY_S
from cli.drain import CHILD, DrainTimes
from cli.settings import Settings
from persistence.mail_queue import MailQueue
from persistence.pool import Pool
from persistence.redis import Redis
from persistence.revoked_sessions import RevokedSessions


@dataclass(frozen=True, slots=True)
class Actors:
    """All of them, not yet started."""

    pool: Pool
    registry: AccountRegistry
    coordinator: Coordinator
    lanes: tuple[Lane, ...]
    feed: Feed
    revocations: Revocations
    relay: OutboxRelay
    email: EmailActor
    sweeper: Sweeper


def actors_of(settings: Settings, pool: Pool, redis: Redis) -> Actors:
    """Made from the settings and the stores they work on."""
    limits = settings.limits
    coordinator = Coordinator(registry := AccountRegistry(), batch_max=limits.batch_max)
    feed = Feed(pool)
    lanes = (
        Lane(coordinator, pool, limits=LaneLimits(), random=random.random, committed=feed.committed)
        for _ in range(limits.lanes)
    )
    kept_s = settings.access_token_duration.total_seconds() + LEEWAY_S
    consumer = f"{socket.gethostname()}-{getpid()}-{secrets.token_hex(4)}"
    queue, unseal = MailQueue(redis, consumer), Seal(settings.token_keys).unseal
    return Actors(
        pool,
        registry,
        coordinator,
        tuple(lanes),
        feed,
        Revocations(pool, RevokedSessions(redis, kept_s=kept_s), kept_s=kept_s),
        OutboxRelay(pool, queue, poll_s=limits.outbox_poll_s, random=random.random),
        EmailActor(queue, _delivery(settings), unseal=unseal, random=random.random),
        Sweeper(pool, Ages(keys=limits.key_age, expired=limits.expired_kept), every_s=limits.sweep_s),
    )


def _delivery(settings: Settings) -> Delivery:
    if settings.smtp_url is None:
        return FileDelivery(settings.var_dir / "mail")
    return SmtpDelivery(parse_smtp_url(settings.smtp_url))


def root_of(actors: Actors, servers: Sequence[ChildSpec], times: DrainTimes) -> Supervisor:
    """The tree. It is started from the top, and stopped from the bottom."""
    return Supervisor(
        "service",
        [
            _background(actors, times).spec(shutdown_s=times.background_s),
            _ledger(actors, times).spec(shutdown_s=times.ledger_s),
            Supervisor("servers", servers).spec(shutdown_s=times.servers_s),
        ],
    )


def _background(actors: Actors, times: DrainTimes) -> Supervisor:
    revocations, feed, relay, email = actors.revocations, actors.feed, actors.relay, actors.email
    return Supervisor(
        "background",
        [
            ChildSpec("revocations", revocations.run, statistics=revocations.statistics),
            ChildSpec("feed", feed.run, statistics=feed.statistics),
            ChildSpec("sweeper", actors.sweeper.run, statistics=actors.sweeper.statistics),
            ChildSpec("outbox relay", relay.run, statistics=relay.statistics),
            ChildSpec(
                "email",
                email.run,
                stop=email.stop,
                shutdown_s=CHILD * times.background_s,
                statistics=email.statistics,
            ),
        ],
        backoff=Backoff(),
    )


def _ledger(actors: Actors, times: DrainTimes) -> Supervisor:
    registry, coordinator, pool = actors.registry, actors.coordinator, actors.pool
    return Supervisor(
        "ledger",
        [
            ChildSpec(
                "accounts",
                registry.run,
                statistics=lambda: (registry.statistics(), coordinator.statistics(), pool.statistics()),
            ),
            *(
                ChildSpec(
                    f"lane {number}",
                    lane.run,
                    restart=Restart.TRANSIENT,
                    stop=coordinator.close,
                    shutdown_s=CHILD * times.ledger_s,
                    statistics=lane.statistics,
                )
                for number, lane in enumerate(actors.lanes, 1)
            ),
        ],
    )
