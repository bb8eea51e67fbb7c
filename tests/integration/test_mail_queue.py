"""The mail queue on a real Redis: what is added is read once, held, taken over, given back or buried."""

from __future__ import annotations

import pytest
import trio

from persistence import mail_queue
from persistence.dead_letters import DeadLetters
from persistence.mail_queue import MailQueue, QueueCounts, QueueFull
from persistence.redis import RedisUnavailable, open_redis


async def test_ping_tells_whether_redis_is_there(redis_url, tmp_path):
    async with open_redis(redis_url) as redis:
        await redis.ping()
    async with open_redis(f"unix://{tmp_path}/nowhere.sock") as redis:
        with pytest.raises(RedisUnavailable):
            await redis.ping()


async def test_an_error_leaves_the_block_as_it_was_raised(redis_url):
    with pytest.raises(KeyError):
        async with open_redis(redis_url):
            raise KeyError("mine")


async def test_a_stuck_redis_is_unavailable_in_time(redis_url, meddler):
    async with open_redis(redis_url) as redis:
        await redis.ping()
        meddler.execute_command("CLIENT", "PAUSE", 300, "ALL")
        with pytest.raises(RedisUnavailable, match=r"0\.1 s"):
            await redis.run(lambda client: client.ping(), timeout_s=0.1)
        await redis.ping()


@pytest.mark.parametrize(("setting", "value"), [("maxmemory", 1), ("min-replicas-to-write", 1)])
async def test_a_redis_that_takes_no_writes_is_unavailable_and_quotes_no_mail(
    redis_url, meddler, setting, value
):
    meddler.config_set(setting, value)
    try:
        async with open_redis(redis_url) as redis:
            with pytest.raises(RedisUnavailable) as caught:
                await MailQueue(redis, "one").add([(1, b"sealed mail")])
    finally:
        meddler.config_set(setting, 0)
    assert "sealed" not in str(caught.value)


async def test_a_full_queue_refuses_all_or_nothing(redis_url, monkeypatch):
    monkeypatch.setattr(mail_queue, "STREAM_MAX", 3)
    async with open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        await queue.add([(1, b"a"), (2, b"b")])
        with pytest.raises(QueueFull):
            await queue.add([(3, b"c"), (4, b"d")])
        assert (await queue.counts()).waiting == 2


async def test_consumers_read_different_mails_in_order(redis_url):
    async with open_redis(redis_url) as redis:
        one, two = MailQueue(redis, "one"), MailQueue(redis, "two")
        await one.add([(number, b"%d" % number) for number in range(4)])
        read = [(await queue.read(1, block_s=0.1))[0].outbox_id for queue in (one, two, one, two)]
        assert read == [0, 1, 2, 3]
        assert await two.read(1, block_s=0.01) == []
        assert await one.counts() == QueueCounts(waiting=0, pending=4, dead=0)


async def test_a_reader_that_waits_survives_the_loss_of_everything(redis_url, meddler):
    async with open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        await queue.read(1, block_s=0.01)
        read = []

        async def reader() -> None:
            read.extend(await queue.read(1, block_s=3))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader)
            await trio.sleep(0.1)
            meddler.flushall()
            await queue.add([(1, b"after")])
        assert [mail.sealed for mail in read] == [b"after"]


async def test_only_what_nobody_held_for_long_enough_is_claimed(redis_url):
    async with open_redis(redis_url) as redis:
        living, heir = MailQueue(redis, "living"), MailQueue(redis, "heir")
        await living.add([(number, b"%d" % number) for number in range(31)])
        held = await living.read(31, block_s=0.1)
        await trio.sleep(0.2)
        assert await living.hold(held[:30]) == set()
        claimed = await heir.claim_stale(idle_s=0.15)  # it stands behind thirty that are held
        assert claimed is not None
        assert (claimed.outbox_id, claimed.deliveries) == (30, 2)
        assert await heir.claim_stale(idle_s=0.15) is None


async def test_hold_names_what_another_consumer_has_and_not_what_nobody_knows(redis_url, meddler):
    async with open_redis(redis_url) as redis:
        slow, heir = MailQueue(redis, "slow"), MailQueue(redis, "heir")
        await slow.add([(1, b"a"), (2, b"b")])
        mails = await slow.read(2, block_s=0.1)
        await trio.sleep(0.02)
        assert (await heir.claim_stale(idle_s=0.01)).entry_id == mails[0].entry_id
        assert await slow.hold(mails) == {mails[0].entry_id}
        meddler.flushall()
        assert await slow.hold(mails) == set()


async def test_who_leaves_gives_back_what_it_holds_and_is_forgotten(redis_url, meddler):
    async with open_redis(redis_url) as redis:
        leaving, other = MailQueue(redis, "leaving"), MailQueue(redis, "other")
        await leaving.add([(1, b"a"), (2, b"b"), (3, b"c")])
        first, *_ = await leaving.read(2, block_s=0.1)
        assert await leaving.count_attempt(first) == 1
        assert await leaving.leave() == 2
        again = await other.read(3, block_s=0.1)
        assert sorted(mail.sealed for mail in again) == [b"a", b"b", b"c"]
        assert await other.count_attempt(next(mail for mail in again if mail.sealed == b"a")) == 2
        names = [each["name"] for each in meddler.xinfo_consumers("mail", "email-actors")]
        assert names == [b"other"]


async def test_long_dead_consumers_are_forgotten_unless_they_hold_mail(redis_url, meddler, monkeypatch):
    monkeypatch.setattr(mail_queue, "CONSUMER_FORGOTTEN_S", 0)
    async with open_redis(redis_url) as redis:
        holder, idle, leaver = (MailQueue(redis, name) for name in ("holder", "idle", "leaver"))
        await holder.add([(1, b"a")])
        await holder.read(1, block_s=0.1)
        await idle.read(1, block_s=0.01)
        await trio.sleep(0.02)
        await leaver.leave()
        names = [each["name"] for each in meddler.xinfo_consumers("mail", "email-actors")]
        assert names == [b"holder"]


async def test_a_new_database_with_the_same_ids_is_not_taken_for_sent(redis_url):
    async with open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        await queue.add([(1, b"old"), (1, b"new"), (1, b"old")])
        old, new, copy = await queue.read(3, block_s=0.1)
        await queue.acknowledge(old)
        assert [await queue.was_sent(mail) for mail in (new, copy)] == [False, True]


async def test_a_buried_mail_is_gone_from_the_queue_and_told_of(redis_url):
    async with open_redis(redis_url) as redis:
        queue, letters = MailQueue(redis, "one"), DeadLetters(redis)
        await queue.add([(4, b"a")])
        (mail,) = await queue.read(1, block_s=0.1)
        await queue.bury(mail, "x" * 10_000)
        assert await queue.counts() == QueueCounts(0, 0, 1)
        (letter,) = await letters.newest(10)
        assert (letter.outbox_id, letter.reason) == (4, "x" * mail_queue.REASON_MAX)


async def test_reviving_gives_all_attempts_again_and_happens_once(redis_url):
    async with open_redis(redis_url) as redis:
        queue = MailQueue(redis, "one")
        await queue.add([(number, b"%d" % number) for number in range(250)])
        for mail in await queue.read(250, block_s=0.1):
            await queue.count_attempt(mail)
            await queue.bury(mail, "because")
        revived: list[int] = []

        async def revive() -> None:
            revived.append(await queue.revive_dead())

        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(revive)
        assert sum(revived) == 250
        assert await queue.counts() == QueueCounts(250, 0, 0)
        (mail,) = await queue.read(1, block_s=0.1)
        assert await queue.count_attempt(mail) == 1


async def test_purging_forgets_dead_letters_only(redis_url):
    async with open_redis(redis_url) as redis:
        queue, letters = MailQueue(redis, "one"), DeadLetters(redis)
        await queue.add([(1, b"a"), (2, b"b")])
        (mail,) = await queue.read(1, block_s=0.1)
        await queue.bury(mail, "because")
        assert await letters.purge() == 1
        assert await letters.newest(10) == []
        assert await queue.counts() == QueueCounts(1, 0, 0)


async def test_what_somebody_else_wrote_into_the_stream_is_a_mail_that_can_not_be_opened(redis_url, meddler):
    async with open_redis(redis_url) as redis:
        meddler.xadd("mail", {"nonsense": 1})
        (mail,) = await MailQueue(redis, "one").read(1, block_s=0.1)
        assert (mail.outbox_id, mail.sealed) == (0, b"")
