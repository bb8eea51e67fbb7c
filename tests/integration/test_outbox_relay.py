"""The outbox relay between a real PostgreSQL and a real Redis."""

from __future__ import annotations

import pytest
import trio

from actors.outbox_relay import OutboxRelay, Wake
from actors.restarts import RestartIntensity
from actors.supervisor import ChildSpec, Supervisor
from infra.local.postgres import LocalPostgres
from migrations import run as migrations
from persistence import mail_queue, outbox
from persistence.dead_letters import DeadLetters
from persistence.mail_queue import MailQueue
from persistence.pool import Pool, open_pool
from persistence.redis import open_redis
from tests.support.mail import running


class SlowQueue(MailQueue):
    """Says when it is asked to add, then takes its time; fails first as often as it is told to."""

    def __init__(self, redis, *failures: Exception, takes_s: float = 0.0) -> None:
        super().__init__(redis, "one")
        self.failures = list(failures)
        self.takes_s = takes_s
        self.asked = trio.Event()

    async def add(self, mails) -> None:
        self.asked.set()
        if self.failures:
            raise self.failures.pop(0)
        await trio.sleep(self.takes_s)
        await super().add(mails)


def relay(pool: Pool, queue: MailQueue, poll_s: float = 60) -> OutboxRelay:
    return OutboxRelay(pool, queue, poll_s=poll_s, random=lambda: 0.5)


async def put(pool: Pool, *mails: bytes) -> None:
    async with pool.transaction() as connection:
        for mail in mails:
            await outbox.put(connection, "verify_email", mail)


async def waiting_in_outbox(pool: Pool) -> int:
    async with pool.connection() as connection:
        return await outbox.count_waiting(connection)


async def queued(queue: MailQueue, number: int, timeout_s: float = 5) -> None:
    with trio.fail_after(timeout_s):
        while (await queue.counts()).waiting < number:
            await trio.sleep(0.01)


async def test_more_than_one_chunk_is_moved_at_one_wake(database_url, redis_url):
    async with open_pool(database_url) as pool, open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        await put(pool, *(b"%d" % number for number in range(230)))
        assert await relay(pool, queue).receive(Wake()) == 230
        read = await queue.read(230, block_s=0.1)
        assert [mail.sealed for mail in read] == [b"%d" % number for number in range(230)]
        assert await relay(pool, queue).receive(Wake()) == 0


async def test_a_mail_of_a_transaction_that_rolled_back_is_not_sent(database_url, redis_url):
    async with open_pool(database_url) as pool, open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        with pytest.raises(KeyError):
            async with pool.transaction() as connection:
                await outbox.put(connection, "verify_email", b"never")
                raise KeyError
        assert await relay(pool, queue).receive(Wake()) == 0


async def test_what_nobody_told_of_is_found_by_polling(database_url, redis_url):
    async with open_pool(database_url) as pool, open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        async with running(relay(pool, queue, poll_s=0.05)):
            await trio.sleep(0.1)
            await put(pool, b"a")
            await queued(queue, 1)


async def test_mail_waits_in_the_outbox_while_the_queue_is_full(database_url, redis_url, monkeypatch):
    monkeypatch.setattr(mail_queue, "STREAM_MAX", 2)
    async with open_pool(database_url) as pool, open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        await queue.add([(0, b"x"), (0, b"y")])
        async with running(moving := relay(pool, queue)):
            await put(pool, b"a")
            moving.wake()
            await trio.sleep(0.1)
            assert await waiting_in_outbox(pool) == 1
            for mail in await queue.read(2, block_s=0.1):
                await queue.acknowledge(mail)
            await queued(queue, 1)
            with trio.fail_after(5):  # the commit comes after the handing over
                while await waiting_in_outbox(pool):
                    await trio.sleep(0.01)


async def test_a_relay_cancelled_while_it_hands_over_leaves_each_mail_in_one_place(database_url, redis_url):
    async with open_pool(database_url) as pool, open_redis(redis_url) as redis:
        queue = SlowQueue(redis, takes_s=0.1)
        await put(pool, b"a", b"b")
        async with running(relay(pool, queue)):
            await queue.asked.wait()
        assert await waiting_in_outbox(pool) == 0
        assert (await queue.counts()).waiting == 2


async def test_a_relay_that_crashed_is_restarted_and_goes_on(database_url, redis_url):
    async with open_pool(database_url) as pool, open_redis(redis_url) as redis:
        queue = SlowQueue(redis, RuntimeError("a defect"))
        await put(pool, b"a")
        moving = relay(pool, queue)
        supervisor = Supervisor(
            "mail", [ChildSpec("relay", moving.run)], intensity=RestartIntensity(max_restarts=3)
        )
        async with running(supervisor):
            await queued(queue, 1)
        assert supervisor.statistics().children[0].restarts == 1
        assert (await queue.counts()).waiting == 1


async def test_mail_goes_on_when_postgresql_is_back(tmp_path_factory, redis_url):
    folder = tmp_path_factory.mktemp("restarted")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    server = LocalPostgres(folder)
    server.start()
    try:
        server.create_database("mails")
        url = server.url("mails")
        migrations.up(url)
        async with open_pool(url, checkout_timeout_s=0.2) as pool, open_redis(redis_url) as redis:
            queue = MailQueue(redis, "one")
            await put(pool, b"a")
            server.stop()
            async with running(relay(pool, queue)):
                await trio.sleep(0.3)
                await trio.to_thread.run_sync(server.start)
                await queued(queue, 1, timeout_s=10)
    finally:
        server.stop()


async def test_only_what_was_relayed_long_ago_is_purged(database_url, redis_url, database):
    async with open_pool(database_url) as pool, open_redis(redis_url) as redis:
        await put(pool, b"old", b"new")
        moving = relay(pool, MailQueue(redis, "one"))
        assert await moving.receive(Wake()) == 2
        await put(pool, b"waits")
        database.execute("update outbox set relayed_at = relayed_at - interval '31 days' where id = 1")
        assert await moving.purge() == 1
        assert database.execute("select array_agg(id order by id) from outbox").fetchone() == ([2, 3],)


def unsent(database) -> list[tuple[int, bool, bool]]:
    """Mails by id: whether they are kept, and whether they wait."""
    query = "select id, sealed is not null, relayed_at is null from outbox order by id"
    return database.execute(query).fetchall()


async def test_a_mail_is_kept_until_it_is_known_to_be_sent(database_url, redis_url, database):
    async with open_pool(database_url) as pool, open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        moving = relay(pool, queue)
        await put(pool, b"a", b"b")
        await moving.receive(Wake())
        (first, _) = await queue.read(2, block_s=0.1)
        assert await moving.confirm() == 0
        assert unsent(database) == [(1, True, False), (2, True, False)]
        await queue.acknowledge(first)
        assert await moving.confirm() == 0
        assert unsent(database) == [(1, False, False), (2, True, False)]


async def test_what_redis_has_forgotten_is_moved_again_and_what_was_sent_is_not(
    database_url, redis_url, database, meddler
):
    async with open_pool(database_url) as pool, open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        moving = relay(pool, queue)
        await put(pool, b"sent", b"held", b"waits")
        await moving.receive(Wake())
        first, _ = await queue.read(2, block_s=0.1)
        await queue.acknowledge(first)
        await moving.confirm()
        meddler.flushdb()
        assert await moving.confirm() == 2
        assert await moving.receive(Wake()) == 2
        assert [mail.sealed for mail in await queue.read(9, block_s=0.1)] == [b"held", b"waits"]
        assert unsent(database) == [(1, False, False), (2, True, False), (3, True, False)]


async def test_dead_letters_are_kept_too_until_somebody_forgets_them(
    database_url, redis_url, database, meddler
):
    async with open_pool(database_url) as pool, open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        moving = relay(pool, queue)
        await put(pool, b"a")
        await moving.receive(Wake())
        (mail,) = await queue.read(1, block_s=0.1)
        await queue.bury(mail, "nobody takes it")
        assert await moving.confirm() == 0
        assert unsent(database) == [(1, True, False)]
        meddler.flushdb()
        assert await moving.confirm() == 1
        await moving.receive(Wake())
        (again,) = await queue.read(1, block_s=0.1)
        await queue.bury(again, "still nobody")
        assert await DeadLetters(redis).purge() == 1
        assert await moving.confirm() == 0
        assert unsent(database) == [(1, False, False)]


async def test_a_running_relay_finds_out_by_itself_what_was_lost(database_url, redis_url, meddler):
    async with open_pool(database_url) as pool, open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        async with running(moving := relay(pool, queue, poll_s=0.05)):
            await put(pool, b"a")
            moving.wake()
            await queued(queue, 1)
            meddler.flushdb()
            await queued(queue, 1)


async def test_more_than_a_chunk_is_confirmed_at_once(database_url, redis_url, database):
    async with open_pool(database_url) as pool, open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        moving = relay(pool, queue)
        await put(pool, *(b"%d" % number for number in range(230)))
        await moving.receive(Wake())
        for mail in await queue.read(230, block_s=0.1):
            await queue.acknowledge(mail)
        await moving.confirm()
        assert database.execute("select count(*) from outbox where sent_at is null").fetchone() == (0,)
