"""Stand-ins around the real mail queue: deliveries that fail on demand, queues that lose their Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage

import trio

from actors.delivery import DeliveryFailed
from actors.email import EmailActor, MailLimits
from persistence.mail_queue import MailQueue, QueueCounts, QueuedMail
from persistence.redis import Redis, RedisUnavailable

FAST = MailLimits(
    pause_min_s=0.01, pause_max_s=0.02, stale_s=0.3, block_s=0.05, reconnect_min_s=0.01, reconnect_max_s=0.1
)
LATER = DeliveryFailed("451 later", permanent=False)
NEVER = DeliveryFailed("554 never", permanent=True)


class Recorder:
    """A delivery that fails as often as it is told to, then notes what it sends."""

    def __init__(self, *failures: Exception, takes_s: float = 0.0) -> None:
        self.failures = list(failures)
        self.takes_s = takes_s
        self.sent: list[str] = []
        self.ids: list[str] = []

    async def deliver(self, mail: EmailMessage) -> None:
        await trio.sleep(self.takes_s)
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(mail["Subject"])
        self.ids.append(mail["Message-ID"])


class Killed(Exception):
    """The end of a process, without any last action."""


class UnsteadyQueue(MailQueue):
    """Redis goes away `losses` times just when a mail that was sent should be acknowledged.

    With `deadly`, the process ends there instead, as far as a test in one process can tell.
    """

    def __init__(self, redis: Redis, consumer: str, losses: int = 0, *, deadly: bool = False) -> None:
        super().__init__(redis, consumer)
        self.losses = losses
        self.deadly = deadly
        self.at_acknowledgement = trio.Event()

    async def acknowledge(self, mail: QueuedMail) -> None:
        self.at_acknowledgement.set()
        if self.deadly:
            raise Killed
        await trio.sleep(0.02)
        if self.losses:
            self.losses -= 1
            raise RedisUnavailable("gone for a moment")
        await super().acknowledge(mail)


def unseal(sealed: bytes) -> EmailMessage:
    """What is sealed as `sealed:SUBJECT`; `sealed:crash` is a defect nobody thought of."""
    if not sealed.startswith(b"sealed:"):
        raise ValueError("not one of ours")
    subject = sealed[7:].decode()
    if subject == "crash":
        raise RuntimeError("a defect")
    message = EmailMessage()
    message["Subject"] = subject
    message["Message-ID"] = f"<{subject}@example.com>"
    return message


def actor(queue: MailQueue, delivery: Recorder, limits: MailLimits = FAST) -> EmailActor:
    return EmailActor(queue, delivery, unseal=unseal, random=lambda: 0.5, limits=limits)


@asynccontextmanager
async def running(*actors) -> AsyncIterator[None]:
    """The actors for the block; at its end they are cancelled, as if the process died."""
    async with trio.open_nursery() as nursery:
        for each in actors:
            await nursery.start(each.run)
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def stopped_after(email: EmailActor) -> AsyncIterator[None]:
    """The actor for the block; at its end it is stopped, and has left when this returns."""
    async with trio.open_nursery() as nursery:
        await nursery.start(email.run)
        yield
        email.stop()


async def emptied(queue: MailQueue, *, dead: int = 0, timeout_s: float = 5) -> None:
    """Wait until nothing is left but dead letters."""
    with trio.fail_after(timeout_s):
        while await queue.counts() != QueueCounts(0, 0, dead):
            await trio.sleep(0.01)


async def until(condition: Callable[[], bool], timeout_s: float = 5) -> None:
    with trio.fail_after(timeout_s):
        while not condition():
            await trio.sleep(0.005)
