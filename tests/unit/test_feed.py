"""The feed: who watches is woken by commits of this process and of others, and by nothing else."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from actors import feed as module
from actors.feed import Feed
from persistence.faults import DatabaseUnavailable


class Database:
    """Stands for the pool and for what is read through it."""

    def __init__(self) -> None:
        self.newest: dict[int, int] = {}
        self.away = False
        self.looks: list[set[int]] = []

    @asynccontextmanager
    async def connection(self):
        if self.away:
            raise DatabaseUnavailable("away")
        yield self

    async def newest_entries(self, connection: Database, account_ids):
        assert connection is self
        self.looks.append(set(account_ids))
        return {account_id: self.newest.get(account_id, 0) for account_id in account_ids}


@pytest.fixture
def database(monkeypatch):
    database = Database()
    monkeypatch.setattr(module.accounts, "newest_entries", database.newest_entries)
    return database


@pytest.fixture
async def feed(database, nursery, autojump_clock):
    feed = Feed(database, look_every_s=1)
    await nursery.start(feed.run)
    return feed


async def test_commits_of_this_process_wake_at_once(feed):
    rung = []
    with feed.watching(1, lambda: rung.append(1)), feed.watching(2, lambda: rung.append(2)):
        feed.committed([2, 3])
        assert rung == [2]
    feed.committed([1, 2])
    assert rung == [2]
    assert feed.statistics().watchers == 0


async def test_commits_of_others_wake_at_the_next_look(feed, database, autojump_clock):
    rung = []
    with feed.watching(1, lambda: rung.append(trio.current_time())):
        await trio.sleep(1.5)
        rung.clear()
        await trio.sleep(3)
        assert rung == []
        database.newest[1] = 7
        await trio.sleep(1)
        assert len(rung) == 1


async def test_nobody_looks_while_nobody_watches(feed, database, autojump_clock):
    await trio.sleep(10)
    assert database.looks == []
    with feed.watching(1, lambda: None), feed.watching(5, lambda: None):
        await trio.sleep(2.5)
    looks = len(database.looks)
    assert database.looks[-1] == {1, 5}
    await trio.sleep(10)
    assert len(database.looks) <= looks + 1


async def test_it_looks_again_when_the_database_is_back(feed, database, autojump_clock):
    rung = []
    database.away = True
    with feed.watching(1, lambda: rung.append(True)):
        await trio.sleep(5)
        assert rung == []
        database.away, database.newest[1] = False, 1
        await trio.sleep(2)
        assert rung == [True]
