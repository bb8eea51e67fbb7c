"""From outbox to delivery, through a real PostgreSQL and a real Redis, with things going wrong on the way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage

import pytest
import trio

from actors.delivery import DeliveryFailed
from actors.email import EmailActor, MailLimits
from actors.outbox_relay import OutboxRelay, Wake
from infra.local.redis import LocalRedis
from persistence import outbox
from persistence.mail_queue import MailQueue, QueueCounts
from persistence.pool import open_pool
from persistence.redis import RedisUnavailable, open_redis

FAST = MailLimits(pause_min_s=0.01, pause_max_s=0.02, stale_s=0.2, block_s=0.05)


class Recorder:
    """A delivery that fails as often as it is told to."""

    def __init__(self, *failures: DeliveryFailed) -> None:
        self.failures = list(failures)
        self.sent: list[str] = []
        self.gate = trio.Event()
        self.gate.set()
        self.begun = trio.Event()

    async def deliver(self, mail: EmailMessage) -> None:
        self.begun.set()
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(mail["Subject"])


def unseal(sealed: bytes) -> EmailMessage:
    if not sealed.startswith(b"sealed:"):
        raise ValueError("not one of ours")
    message = EmailMessage()
    message["Subject"] = sealed[7:].decode()
    return message


def actor(queue: MailQueue, delivery: Recorder, limits: MailLimits = FAST) -> EmailActor:
    return EmailActor(queue, delivery, unseal=unseal, random=lambda: 0.5, limits=limits)


@asynccontextmanager
async def running(*actors):
    async with trio.open_nursery() as nursery:
        for each in actors:
            await nursery.start(each.run)
        yield
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool], timeout_s: float = 5) -> None:
    with trio.fail_after(timeout_s):
        while not condition():
            await trio.sleep(0.005)


async def test_mails_go_from_the_outbox_to_the_recipient_once(database_url, redis_url):
    async with open_pool(database_url) as pool, open_redis(redis_url) as redis:
        queue, delivery = MailQueue(redis, "one"), Recorder()
        relay = OutboxRelay(pool, queue, poll_s=60, random=lambda: 0.5)
        async with running(relay, actor(queue, delivery)):
            for number in range(3):
                async with pool.transaction() as connection:
                    await outbox.put(connection, "verify_email", f"sealed:{number}".encode())
                relay.wake()
            await until(lambda: len(delivery.sent) == 3)
        assert delivery.sent == ["0", "1", "2"]
        assert await queue.counts() == QueueCounts(0, 0, 0)
        assert await relay.confirm() == 0
        async with pool.connection() as connection:
            assert await outbox.count_waiting(connection) == 0
            cursor = await connection.execute("select count(*) from outbox where sealed is not null")
            assert await cursor.fetchone() == (0,)


async def test_two_relays_share_the_outbox_without_doubling(database_url, redis_url):
    async with open_pool(database_url) as pool, open_redis(redis_url) as redis:
        async with pool.transaction() as connection:
            for number in range(250):
                await outbox.put(connection, "verify_email", f"sealed:{number}".encode())
        queue = MailQueue(redis, "one")
        relays = [OutboxRelay(pool, queue, poll_s=60, random=lambda: 0.5) for _ in range(2)]
        moved: list[int] = []

        async def move(relay: OutboxRelay) -> None:
            moved.append(await relay.receive(Wake()))

        async with trio.open_nursery() as nursery:
            for relay in relays:
                nursery.start_soon(move, relay)
        assert sum(moved) == 250
        assert (await queue.counts()).waiting == 250


async def test_a_failing_mail_is_tried_again_and_then_a_dead_letter(redis_url):
    async with open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        await queue.add([(1, b"sealed:a"), (2, b"sealed:b")])
        delivery = Recorder(*[DeliveryFailed("451 later", permanent=False)] * 6)
        email = actor(queue, delivery)
        async with running(email):
            await until(lambda: email.statistics().sent + email.statistics().buried == 2)
            await until(lambda: email.statistics().waiting_for_retry == 0)
        assert email.statistics().failed_attempts == 6
        assert email.statistics().buried + email.statistics().sent == 2
        assert (await queue.counts()).pending == 0


async def test_a_mail_is_dead_after_five_tries_and_can_be_revived(redis_url):
    async with open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        await queue.add([(1, b"sealed:a")])
        delivery = Recorder(*[DeliveryFailed("451 later", permanent=False)] * 5)
        email = actor(queue, delivery)
        async with running(email):
            await until(lambda: email.statistics().buried == 1)
            assert email.statistics().failed_attempts == 5
            assert await queue.counts() == QueueCounts(0, 0, 1)
            assert await queue.revive_dead() == 1
            await until(lambda: delivery.sent == ["a"])
        assert await queue.counts() == QueueCounts(0, 0, 0)


@pytest.mark.parametrize("sealed", [b"sealed:refused", b"garbage"])
async def test_what_can_never_be_sent_is_a_dead_letter_at_once(redis_url, sealed):
    async with open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        await queue.add([(1, sealed), (2, b"sealed:fine")])
        failures = [DeliveryFailed("554 never", permanent=True)] if sealed != b"garbage" else []
        delivery = Recorder(*failures)
        email = actor(queue, delivery)
        async with running(email):
            await until(lambda: delivery.sent == ["fine"])
        assert email.statistics().buried == 1
        assert (await queue.counts()).dead == 1


async def test_mails_of_a_consumer_that_died_are_taken_over(redis_url):
    async with open_redis(redis_url) as redis:
        dying, heir = MailQueue(redis, "dying"), MailQueue(redis, "heir")
        await dying.add([(1, b"sealed:a")])
        assert len(await dying.read(10, block_s=1)) == 1  # and then it is killed, before sending
        delivery = Recorder()
        async with running(actor(heir, delivery)):
            await until(lambda: delivery.sent == ["a"])
        assert (await heir.counts()).pending == 0


async def test_a_copy_of_a_mail_that_was_sent_is_not_sent_again(redis_url):
    async with open_redis(redis_url) as redis:
        queue, delivery = MailQueue(redis, "one"), Recorder()
        await queue.add([(7, b"sealed:a"), (7, b"sealed:a"), (8, b"sealed:b")])
        async with running(actor(queue, delivery)):
            await until(lambda: delivery.sent == ["a", "b"])
        assert await queue.counts() == QueueCounts(0, 0, 0)


async def test_stopping_finishes_the_mail_in_hand_and_takes_no_other(redis_url):
    async with open_redis(redis_url) as redis:
        queue, delivery = MailQueue(redis, "one"), Recorder()
        await queue.add([(1, b"sealed:a"), (2, b"sealed:b")])
        delivery.gate = trio.Event()
        email = actor(queue, delivery)
        async with trio.open_nursery() as nursery:
            await nursery.start(email.run)
            await delivery.begun.wait()
            email.stop()
            await trio.sleep(0.05)
            delivery.gate.set()
        assert delivery.sent == ["a"]
        heir = Recorder()
        async with running(actor(MailQueue(redis, "heir"), heir)):
            await until(lambda: heir.sent == ["b"])


async def test_a_queue_that_was_emptied_under_it_is_made_again(redis_url):
    async with open_redis(redis_url) as redis:
        queue, delivery = MailQueue(redis, "one"), Recorder()
        async with running(actor(queue, delivery)):
            await queue.add([(1, b"sealed:a")])
            await until(lambda: delivery.sent == ["a"])
            await redis.run(lambda client: client.flushdb())
            await queue.add([(2, b"sealed:b")])
            await until(lambda: delivery.sent == ["a", "b"])


async def test_mail_waits_while_redis_is_away_and_goes_when_it_is_back(database_url, tmp_path):
    server = LocalRedis(tmp_path / "redis")
    server.start()
    async with open_pool(database_url) as pool, open_redis(server.url) as redis:
        queue, delivery = MailQueue(redis, "one"), Recorder()
        relay = OutboxRelay(pool, queue, poll_s=0.1, random=lambda: 0.5)
        email = actor(queue, delivery)
        async with running(relay, email):
            server.kill()
            async with pool.transaction() as connection:
                await outbox.put(connection, "verify_email", b"sealed:patient")
            relay.wake()
            await trio.sleep(0.3)
            async with pool.connection() as connection:
                assert await outbox.count_waiting(connection) == 1
            with pytest.raises(RedisUnavailable):
                await redis.ping()
            server.start()
            await until(lambda: delivery.sent == ["patient"], timeout_s=10)
    server.stop()


async def test_200_commands_at_once_and_cancellations_leave_redis_usable(redis_url):
    async with open_redis(redis_url) as redis:
        answers: list[int] = []

        async def add() -> None:
            answers.append(await redis.run(lambda client: client.incr("n")))

        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(add)
        assert sorted(answers) == list(range(1, 201))
        for _ in range(30):
            with trio.move_on_after(0.001):
                await redis.run(lambda client: client.blpop(["nothing"], 5))
        await redis.run(lambda client: client.set("k", "v"))
        assert await redis.run(lambda client: client.get("k")) == b"v"
