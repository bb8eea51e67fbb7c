"""A lane on a real database, with the line cut at COMMIT, poisoned orders and foreign writers."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

import psycopg
import pytest
import trio

from actors.coordinator import Coordinator
from actors.lane import Lane, LaneLimits
from actors.registry import AccountRegistry
from cli.audit import audited
from cli.drill.installation import open_postgres, url_through
from cli.drill.proxy import Cut, open_proxy
from domain.errors import Code, Unavailable
from domain.ledger import Bundle, Key, Order, Posted, Refused, Undone
from infra.local.postgres import LocalPostgres
from persistence import ledger
from persistence.faults import DatabaseFault
from persistence.pool import open_pool
from tests.support.service import open_accounts

LIMITS = LaneLimits(pause_min_s=0.005, pause_max_s=0.02, resolve_timeout_s=5)


@pytest.fixture
def accounts(database, database_url) -> list[int]:
    database.execute(
        "insert into users (username, full_name, email, password_hash) values ('alice', 'A', 'a@b.cd', 'x')"
    )
    return open_accounts(database_url, "alice", 4, overdraft=1_000)


class Bench:
    def __init__(self, coordinator: Coordinator, lanes: list[Lane], registry: AccountRegistry) -> None:
        self.coordinator = coordinator
        self.lanes = lanes
        self.registry = registry

    async def move_all(self, *pairs: tuple[int, int], amount: int = 1):
        orders = tuple(Order(source, target, amount, "USD", "alice", "alice") for source, target in pairs)
        with trio.fail_after(20):
            return await self.coordinator.ask(Bundle(orders))

    async def move(self, source: int, target: int, amount: int = 1, key: str | None = None):
        order = Order(
            source, target, amount, "USD", "alice", "alice", key and Key("alice", key), f"{amount}".encode()
        )
        with trio.fail_after(20):
            return await self.coordinator.ask(order)


@asynccontextmanager
async def proxied(server: LocalPostgres, database_url: str):
    async with open_proxy(partial(open_postgres, server)) as proxy:
        yield proxy, url_through(proxy, urlsplit(database_url).path[1:])


@asynccontextmanager
async def lanes(url: str, *, number: int = 1, statement_timeout_s: float = 5.0, limits: LaneLimits = LIMITS):
    registry = AccountRegistry()
    coordinator = Coordinator(registry)
    async with open_pool(url, statement_timeout_s=statement_timeout_s) as pool, trio.open_nursery() as nursery:
        made = [Lane(coordinator, pool, limits=limits, random=random.random) for _ in range(number)]
        for lane in made:
            await nursery.start(lane.run)
        yield Bench(coordinator, made, registry)
        coordinator.close()


def transfers(url: str) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute("select count(*) from transfers").fetchone()[0]


@pytest.mark.parametrize("cut", list(Cut))
@pytest.mark.parametrize("key", [None, "k"])
async def test_a_line_cut_at_commit_is_resolved_and_never_doubled(
    postgres_server, database_url, accounts, cut, key
):
    async with proxied(postgres_server, database_url) as (proxy, url), lanes(url) as bench:
        await bench.move(accounts[2], accounts[3])
        proxy.cuts.append(cut)
        outcome = await bench.move(accounts[0], accounts[1], key=key)
        assert isinstance(outcome, Posted)
        assert proxy.made == [cut]
        assert bench.lanes[0].statistics().unknown_outcomes == 1
        with psycopg.connect(database_url) as connection:
            found = connection.execute(
                "select count(*) from transfers where id = %s", [outcome.transfer.id]
            ).fetchone()
        assert found == (1,)
    assert transfers(database_url) == 2


@pytest.mark.parametrize("cut", list(Cut))
async def test_a_refusal_with_a_key_is_resolved_too(postgres_server, database_url, accounts, cut):
    async with proxied(postgres_server, database_url) as (proxy, url), lanes(url) as bench:
        proxy.cuts.append(cut)
        outcome = await bench.move(accounts[0], accounts[1], 5_000, key="k")
        assert outcome == Refused(Code.INSUFFICIENT_FUNDS)
        again = await bench.move(accounts[0], accounts[1], 5_000, key="k")
        assert again == Refused(Code.INSUFFICIENT_FUNDS, replayed=True)


@pytest.mark.parametrize("cut", list(Cut))
async def test_what_could_not_be_looked_up_in_time_is_told_so_and_never_done_again(
    postgres_server, database_url, accounts, cut
):
    limits = replace(LIMITS, resolve_timeout_s=0.3)
    async with proxied(postgres_server, database_url) as (proxy, url), lanes(url, limits=limits) as bench:
        await bench.move(accounts[2], accounts[3])
        proxy.cuts.append(cut)
        proxy.refusing = True
        with pytest.raises(Unavailable, match="may have been done"):
            await bench.move(accounts[0], accounts[1])
        assert proxy.made == [cut]
        proxy.refusing = False
        assert isinstance(await bench.move(accounts[2], accounts[3]), Posted)
    assert transfers(database_url) == (3 if cut is Cut.AFTER else 2)
    assert (await audited(database_url)).clean


async def test_many_cuts_under_load_end_with_every_answer_true(postgres_server, database_url, accounts):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    posted: list[int] = []
    async with proxied(postgres_server, database_url) as (proxy, url), lanes(url, number=2) as bench:

        async def mover(number: int) -> None:
            for n in range(10):
                source, target = rng.sample(accounts, 2)
                outcome = await bench.move(source, target, key=f"{number}-{n}")
                assert isinstance(outcome, Posted)
                assert not outcome.replayed
                posted.append(outcome.transfer.id)

        async def cut_now_and_then() -> None:
            for _ in range(8):
                await trio.sleep(rng.random() * 0.02)
                proxy.cuts.append(rng.choice(list(Cut)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut_now_and_then)
            for number in range(12):
                nursery.start_soon(mover, number)
    assert len(proxy.made) >= 3
    assert len(set(posted)) == transfers(database_url) == 120
    assert (await audited(database_url)).clean


async def test_a_poisoned_order_fails_alone(database_url, accounts, database):
    # A rule of the database that the settlement knows nothing of.
    database.execute("alter table transfers add constraint poison check (amount <> 666)")
    results: dict[int, object] = {}
    async with lanes(database_url) as bench:

        async def move(amount: int) -> None:
            try:
                results[amount] = await bench.move(accounts[0], accounts[1], amount)
            except DatabaseFault as fault:
                results[amount] = fault

        async with trio.open_nursery() as nursery:
            for amount in [*range(1, 20), 666]:
                nursery.start_soon(move, amount)
        assert bench.lanes[0].statistics().splits >= 1
    assert isinstance(results.pop(666), DatabaseFault)
    assert all(isinstance(outcome, Posted) for outcome in results.values())
    assert transfers(database_url) == 19


async def test_a_foreign_writer_is_waited_for_and_its_work_is_seen(database_url, accounts):
    async with lanes(database_url) as bench, lanes(database_url) as foreign:
        first = await bench.move(accounts[0], accounts[1])
        await foreign.move(accounts[0], accounts[1], 5)
        second = await bench.move(accounts[0], accounts[1])
        assert (first.debit.seq, second.debit.seq) == (1, 3)
        assert second.debit.balance_after == -7


async def test_a_lock_held_for_too_long_is_unavailable(database_url, accounts):
    async with lanes(database_url, statement_timeout_s=0.3) as bench:
        with psycopg.connect(database_url) as foreign:
            foreign.execute("select from accounts where id = %s for update", [accounts[0]])
            with pytest.raises(Unavailable):
                await bench.move(accounts[0], accounts[1])
        assert isinstance(await bench.move(accounts[0], accounts[1]), Posted)


async def test_a_deadlock_with_a_foreign_writer_is_retried(database_url, accounts):
    low, high = accounts[:2]
    async with lanes(database_url, statement_timeout_s=10) as bench:
        results: list[object] = []

        async def move() -> None:
            results.append(await bench.move(low, high))

        def cross() -> None:
            # Locks in the wrong order, as no process of ours would.
            with psycopg.connect(database_url) as foreign:
                foreign.execute("set deadlock_timeout = '10s'")
                foreign.execute("select from accounts where id = %s for update", [high])
                trio.from_thread.run(trio.sleep, 0.3)
                foreign.execute("select from accounts where id = %s for update", [low])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, cross)
            await trio.sleep(0.15)
            nursery.start_soon(move)
        assert isinstance(results[0], Posted)
        assert bench.lanes[0].statistics().retries >= 1


async def test_lanes_hand_out_distinct_transfer_ids(database_url, accounts):
    async with lanes(database_url, number=3) as bench, lanes(database_url, number=3) as other:
        ids: list[int] = []

        async def move(where: Bench, n: int) -> None:
            outcome = await where.move(accounts[n % 4], accounts[(n + 1) % 4])
            ids.append(outcome.transfer.id)

        async with trio.open_nursery() as nursery:
            for n in range(200):
                nursery.start_soon(move, bench if n % 2 else other, n)
    assert len(set(ids)) == 200
    assert all(number >= ledger.TRANSFER_ID_BLOCK for number in ids)


@pytest.mark.parametrize("cut", list(Cut))
async def test_a_refusal_that_wrote_nothing_stands_whatever_became_of_its_commit(
    postgres_server, database_url, accounts, cut
):
    async with proxied(postgres_server, database_url) as (proxy, url), lanes(url) as bench:
        await bench.move(accounts[2], accounts[3])
        proxy.cuts.append(cut)
        assert await bench.move(accounts[0], accounts[1], amount=5_000) == Refused(Code.INSUFFICIENT_FUNDS)
        assert proxy.made == [cut]


@pytest.mark.parametrize("cut", list(Cut))
async def test_a_bundle_whose_commit_was_cut_is_there_once_and_whole(
    postgres_server, database_url, accounts, cut
):
    async with proxied(postgres_server, database_url) as (proxy, url), lanes(url) as bench:
        await bench.move(accounts[2], accounts[3])
        proxy.cuts.append(cut)
        outcome = await bench.move_all((accounts[0], accounts[1]), (accounts[1], accounts[2]))
        assert [posted.transfer.amount for posted in outcome] == [1, 1]
    assert transfers(database_url) == 3
    assert (await audited(database_url)).clean


async def test_bundles_and_single_orders_share_batches_and_undone_ones_leave_nothing(database_url, accounts):
    a, b, c, d = accounts
    outcomes = []
    async with lanes(database_url, number=3) as bench, trio.open_nursery() as nursery:

        async def ask(*pairs, amount=1):
            outcomes.append(await bench.move_all(*pairs, amount=amount))

        for _ in range(20):
            nursery.start_soon(ask, (a, b), (b, c), (c, a))
            nursery.start_soon(partial(ask, (a, b), (b, c), amount=5_000))
            nursery.start_soon(bench.move, a, d)
    undone = [each for each in outcomes if isinstance(each, Undone)]
    assert undone == [Undone(0, Refused(Code.INSUFFICIENT_FUNDS))] * 20
    assert transfers(database_url) == 20 * 3 + 20
    assert (await audited(database_url)).clean


async def test_a_bundle_takes_as_many_transfer_ids_as_it_needs(database_url, accounts):
    a, b, *_ = accounts
    async with lanes(database_url) as bench:
        await bench.move(a, b)
        outcome = await bench.move_all(*[(a, b), (b, a)] * 1_250)
    assert len({posted.transfer.id for posted in outcome}) == 2_500
    assert (await audited(database_url)).clean
