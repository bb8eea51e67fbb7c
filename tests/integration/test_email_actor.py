"""The email actor on a real Redis. (The whole way from the outbox is in test_mail.py.)"""

from __future__ import annotations

from dataclasses import replace

import trio

from actors.restarts import RestartIntensity
from actors.supervisor import ChildSpec, Supervisor
from persistence.mail_queue import MailQueue, QueueCounts
from persistence.redis import open_redis
from tests.support.mail import FAST, LATER, NEVER, Recorder, UnsteadyQueue, actor, running, stopped_after, until


async def test_a_mail_is_sent_once_though_redis_goes_away_before_the_acknowledgement(redis_url):
    async with open_redis(redis_url) as redis:
        queue, delivery = UnsteadyQueue(redis, "one", losses=3), Recorder()
        await queue.add([(1, b"sealed:a"), (2, b"sealed:b")])
        email = actor(queue, delivery)
        async with running(email):
            await until(lambda: delivery.sent == ["a", "b"] and not queue.losses)
            await trio.sleep(FAST.stale_s * 1.5)
        assert delivery.sent == ["a", "b"]
        assert await queue.counts() == QueueCounts(0, 0, 0)


async def test_a_cancelled_actor_still_acknowledges_what_it_has_sent(redis_url):
    async with open_redis(redis_url) as redis:
        queue, delivery = UnsteadyQueue(redis, "one"), Recorder()
        await queue.add([(1, b"sealed:a")])
        async with running(actor(queue, delivery)):
            await queue.at_acknowledgement.wait()
        assert delivery.sent == ["a"]
        assert await queue.counts() == QueueCounts(0, 0, 0)


async def test_a_mail_that_waits_for_its_next_try_is_not_taken_over(redis_url):
    limits = replace(FAST, pause_min_s=1.2, pause_max_s=1.2)  # four times as long as it takes to be stale
    async with open_redis(redis_url) as redis:
        queue, delivery, other = MailQueue(redis, "one"), Recorder(LATER), Recorder()
        await queue.add([(1, b"sealed:a")])
        async with running(email := actor(queue, delivery, limits)):
            await until(lambda: email.statistics().waiting_for_retry == 1)
            async with running(actor(MailQueue(redis, "two"), other)):
                await until(lambda: delivery.sent == ["a"])
        assert other.sent == []


async def test_a_slow_delivery_is_not_taken_over(redis_url):
    async with open_redis(redis_url) as redis:
        queue, slow, other = MailQueue(redis, "one"), Recorder(takes_s=FAST.stale_s * 3), Recorder()
        await queue.add([(1, b"sealed:a")])
        async with running(actor(queue, slow)):
            await trio.sleep(0.05)
            async with running(actor(MailQueue(redis, "two"), other)):
                await until(lambda: slow.sent == ["a"])
        assert other.sent == []


async def test_a_mail_that_crashes_its_actor_time_and_again_becomes_a_dead_letter(redis_url):
    limits = replace(FAST, stale_s=0.06)
    async with open_redis(redis_url) as redis:
        queue, delivery = MailQueue(redis, "one"), Recorder()
        await queue.add([(1, b"sealed:crash"), (2, b"sealed:fine")])
        email = actor(queue, delivery, limits)
        supervisor = Supervisor(
            "mail", [ChildSpec("email", email.run)], intensity=RestartIntensity(max_restarts=10)
        )
        async with running(supervisor):
            await until(lambda: email.statistics().buried == 1)
        assert supervisor.statistics().children[0].restarts == limits.attempts_max
        assert delivery.sent == ["fine"]
        assert (await queue.counts()).dead == 1


async def test_a_refused_mail_does_not_hold_up_the_next(redis_url):
    async with open_redis(redis_url) as redis:
        queue, delivery = MailQueue(redis, "one"), Recorder(NEVER, LATER)
        await queue.add([(number, b"sealed:%d" % number) for number in range(4)])
        email = actor(queue, delivery, replace(FAST, pause_min_s=0.3, pause_max_s=0.3))
        async with running(email):
            await until(lambda: len(delivery.sent) == 3)
        assert delivery.sent == ["2", "3", "1"]
        assert (await queue.counts()).dead == 1


async def test_retries_go_back_to_the_queue_when_it_stops(redis_url):
    limits = replace(FAST, pause_min_s=60, pause_max_s=60, stale_s=60)
    async with open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        await queue.add([(1, b"sealed:a"), (2, b"sealed:b")])
        email = actor(queue, Recorder(LATER, LATER), limits)
        async with stopped_after(email):
            await until(lambda: email.statistics().waiting_for_retry == 2)
        heir = Recorder()
        async with running(actor(MailQueue(redis, "two"), heir, limits)):
            await until(lambda: sorted(heir.sent) == ["a", "b"])


async def test_an_idle_actor_stops_at_once(redis_url):
    async with open_redis(redis_url) as redis:
        email = actor(MailQueue(redis, "one"), Recorder(), replace(FAST, block_s=60))
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                await nursery.start(email.run)
                await trio.sleep(0.1)
                email.stop()


async def test_an_actor_stopped_between_two_waits_does_not_begin_the_next(redis_url):
    class StopsWhileClaiming(MailQueue):
        async def claim_stale(self, *, idle_s):
            email.stop()
            return await super().claim_stale(idle_s=idle_s)

    async with open_redis(redis_url) as redis:
        email = actor(StopsWhileClaiming(redis, "one"), Recorder(), replace(FAST, block_s=60))
        with trio.fail_after(10):
            await email.run()


async def test_a_mail_server_that_is_down_leaves_new_mail_in_the_queue(redis_url):
    limits = replace(FAST, pause_min_s=60, pause_max_s=60, retries_max=3)
    async with open_redis(redis_url) as redis:
        queue, delivery = MailQueue(redis, "one"), Recorder(*[LATER] * 50)
        await queue.add([(number, b"sealed:%d" % number) for number in range(10)])
        email = actor(queue, delivery, limits)
        async with running(email):
            await until(lambda: email.statistics().waiting_for_retry == 3)
            await trio.sleep(0.2)
            assert email.statistics().failed_attempts == 3
            assert await queue.counts() == QueueCounts(waiting=7, pending=3, dead=0)


async def test_statistics_tell_what_happened_and_what_is_queued(redis_url):
    async with open_redis(redis_url) as redis:
        queue, delivery = MailQueue(redis, "one"), Recorder(NEVER, LATER)
        await queue.add([(1, b"sealed:a"), (2, b"sealed:b"), (3, b"garbage")])
        email = actor(queue, delivery)
        async with running(email):
            await until(lambda: email.statistics().queue == QueueCounts(0, 0, 2))
        numbers = email.statistics()
        assert (numbers.sent, numbers.failed_attempts, numbers.buried) == (1, 2, 2)
