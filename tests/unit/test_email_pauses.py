"""How long the email actor waits between tries, on a mock clock and without Redis."""

from __future__ import annotations

from email.message import EmailMessage

import pytest
import trio

from actors.delivery import DeliveryFailed
from actors.email import EmailActor, MailLimits
from persistence.mail_queue import QueueCounts, QueuedMail
from persistence.redis import RedisUnavailable


class Queue:
    """Gives one mail, and is away as often as it is told to be."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.reads: list[float] = []
        self.mails = [QueuedMail("1-0", 1, b"")]
        self.attempts = 0
        self.buried: str | None = None

    async def read(self, count: int, *, block_s: float) -> list[QueuedMail]:
        self.reads.append(trio.current_time())
        if self.away:
            self.away -= 1
            raise RedisUnavailable("away")
        if self.mails:
            return [self.mails.pop()]
        await trio.sleep(block_s)
        return []

    async def claim_stale(self, *, idle_s: float) -> None:
        return None

    async def hold(self, mails) -> set[str]:
        return set()

    async def counts(self) -> QueueCounts:
        return QueueCounts(0, 0, 0)

    async def was_sent(self, mail: QueuedMail) -> bool:
        return False

    async def count_attempt(self, mail: QueuedMail) -> int:
        self.attempts += 1
        return self.attempts

    async def bury(self, mail: QueuedMail, reason: str) -> None:
        self.buried = reason

    async def acknowledge(self, mail: QueuedMail) -> None:
        return None


class Refusing:
    """Notes when it was tried, and refuses."""

    def __init__(self) -> None:
        self.tried: list[float] = []

    async def deliver(self, mail: EmailMessage) -> None:
        self.tried.append(trio.current_time())
        raise DeliveryFailed("451 later", permanent=False)


async def drained(queue: Queue, delivery: Refusing, jitter: float, *, for_s: float) -> None:
    email = EmailActor(queue, delivery, unseal=lambda _: EmailMessage(), random=lambda: jitter)  # type: ignore[arg-type]
    with trio.move_on_after(for_s):
        await email.run()


@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.5), (1.0, 1.0)])
async def test_email_actor_waits_longer_after_each_failure_and_gives_up_after_five(
    autojump_clock, jitter, share
):
    queue, delivery = Queue(), Refusing()
    await drained(queue, delivery, jitter, for_s=7_200)
    pauses = [later - earlier for earlier, later in zip(delivery.tried, delivery.tried[1:], strict=False)]
    assert pauses == pytest.approx([5 * share, 25 * share, 125 * share, 625 * share], rel=0.01)
    assert queue.buried == "451 later"


async def test_email_actor_asks_a_redis_that_is_away_ever_more_rarely(autojump_clock):
    queue = Queue(away=1_000)
    await drained(queue, Refusing(), 1.0, for_s=60)
    pauses = [later - earlier for earlier, later in zip(queue.reads, queue.reads[1:], strict=False)]
    assert pauses[:7] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0])
    assert max(pauses) == pytest.approx(5.0)
    assert min(pauses[6:]) == pytest.approx(5.0)


def test_mail_limits_outlast_a_restart_of_the_mail_server():
    limits = MailLimits()
    pauses = [limits.pause_min_s * limits.pause_factor**n for n in range(limits.attempts_max - 1)]
    assert sum(min(pause, limits.pause_max_s) for pause in pauses) == 780
