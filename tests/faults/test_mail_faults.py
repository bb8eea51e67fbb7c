"""Mail while Redis dies, actors are killed and servers refuse: nothing lost, doubled only where it must be."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
import redis as plain_redis
import trio

from actors.delivery import DeliveryFailed
from actors.outbox_relay import OutboxRelay
from infra.local.redis import LocalRedis
from persistence import outbox
from persistence.mail_queue import MailQueue, QueueCounts
from persistence.pool import open_pool
from persistence.redis import open_redis
from tests.support.mail import (
    FAST,
    LATER,
    Killed,
    Recorder,
    UnsteadyQueue,
    actor,
    emptied,
    running,
    stopped_after,
    until,
)


@pytest.fixture
def own_redis(tmp_path):
    """A Redis that a test may kill."""
    server = LocalRedis(tmp_path / "redis")
    server.start()
    keep_every_write(server)
    yield server
    server.stop()


def keep_every_write(server: LocalRedis) -> None:
    # By default Redis may answer up to two seconds before it writes, and a kill then loses what it said it has.
    with plain_redis.Redis.from_url(server.url) as client:
        client.config_set("appendfsync", "always")


@pytest.fixture
def rng():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


async def test_every_mail_is_sent_once_though_redis_is_killed_midway(database_url, own_redis, rng):
    total = 120
    async with open_pool(database_url) as pool, open_redis(own_redis.url) as redis:
        queue, delivery = MailQueue(redis, "one"), Recorder(takes_s=0.004)
        relay = OutboxRelay(pool, queue, poll_s=0.1, random=rng.random)
        email = actor(queue, delivery)

        async def register() -> None:
            for number in range(total):
                async with pool.transaction() as connection:
                    await outbox.put(connection, "verify_email", b"sealed:%d" % number)
                relay.wake()
                await trio.sleep(0.005)

        async with running(relay, email):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(register)
                for _ in range(3):
                    await trio.sleep(0.1 + rng.random() * 0.15)
                    own_redis.kill()
                    await trio.sleep(rng.random() * 0.1)
                    await trio.to_thread.run_sync(own_redis.start)
                    await trio.to_thread.run_sync(keep_every_write, own_redis)
            with trio.move_on_after(30):
                while len(set(delivery.sent)) < total:
                    await trio.sleep(0.01)
            await trio.sleep(FAST.stale_s * 1.5)
        times = Counter(delivery.sent)
        assert [n for n in range(total) if not times[str(n)]] == [], "lost"
        assert [n for n in range(total) if times[str(n)] > 1] == [], "doubled"


async def test_an_actor_killed_between_sending_and_acknowledging_has_the_mail_sent_again(redis_url):
    async with open_redis(redis_url) as redis:
        dying, delivery = UnsteadyQueue(redis, "dying", deadly=True), Recorder()
        await dying.add([(1, b"sealed:a")])
        with pytest.RaisesGroup(Killed):
            await actor(dying, delivery).run()
        async with running(actor(MailQueue(redis, "heir"), delivery)):
            await emptied(dying)
        assert delivery.ids == ["<a@example.com>"] * 2  # whoever gets both can tell


async def test_two_consumers_share_the_work_and_double_nothing(redis_url):
    async with open_redis(redis_url) as redis:
        one, two = Recorder(takes_s=0.002), Recorder(takes_s=0.002)
        queues = [MailQueue(redis, name) for name in ("one", "two")]
        await queues[0].add([(number, b"sealed:%d" % number) for number in range(100)])
        async with running(actor(queues[0], one), actor(queues[1], two)):
            await until(lambda: len(one.sent) + len(two.sent) == 100)
        assert Counter(one.sent + two.sent) == Counter(str(number) for number in range(100))
        assert len(one.sent) > 10
        assert len(two.sent) > 10


async def test_poison_is_buried_and_the_mails_around_it_arrive(redis_url):
    async with open_redis(redis_url) as redis:
        queue, delivery = MailQueue(redis, "one"), Recorder()
        await queue.add([(1, b"sealed:a"), (2, b"poison"), (3, b""), (4, b"\xff\xfe"), (5, b"sealed:b")])
        email = actor(queue, delivery)
        async with running(email):
            await emptied(queue, dead=3)
        assert delivery.sent == ["a", "b"]
        assert email.statistics().buried == 3


async def test_five_tries_are_five_whoever_makes_them(redis_url):
    patient = replace(FAST, pause_min_s=60, pause_max_s=60, stale_s=60)
    async with open_redis(redis_url) as redis:
        queue = MailQueue(redis, "watcher")
        await queue.add([(1, b"sealed:a")])
        tried = 0
        for name in ("one", "two", "three", "four"):
            email = actor(MailQueue(redis, name), Recorder(LATER), patient)
            async with stopped_after(email):
                await until(lambda email=email: email.statistics().failed_attempts == 1)
            tried += email.statistics().failed_attempts
        assert tried == 4
        last = actor(MailQueue(redis, "five"), Recorder(LATER), patient)
        async with running(last):
            await until(lambda: last.statistics().buried == 1)
        assert await queue.counts() == QueueCounts(0, 0, 1)


async def test_killed_actors_and_a_moody_server_lose_nothing(redis_url, rng):
    total, kills = 150, 0
    limits = replace(FAST, attempts_max=50, stale_s=0.15)
    sent: list[str] = []

    class Moody(Recorder):
        async def deliver(self, mail) -> None:
            await trio.sleep(rng.random() * 0.006)
            if rng.random() < 0.2:
                raise DeliveryFailed("451 moody", permanent=False)
            sent.append(mail["Subject"])

    async with open_redis(redis_url) as redis:
        queue = MailQueue(redis, "watcher")
        await queue.add([(number, b"sealed:%d" % number) for number in range(total)])

        async def lives(name: str) -> None:
            nonlocal kills
            life = 0
            while len(set(sent)) < total:
                life += 1
                email = actor(MailQueue(redis, f"{name}-{life}"), Moody(), limits)
                with trio.move_on_after(0.02 + rng.random() * 0.2) as scope:
                    await email.run()
                kills += scope.cancelled_caught

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for name in ("a", "b", "c"):
                    nursery.start_soon(lives, name)
            heir = actor(queue, Moody(), limits)
            async with running(heir):
                await emptied(queue)
        assert set(sent) == {str(number) for number in range(total)}
        assert len(sent) - total <= kills  # at most the mail in hand of each
