"""A thousand cancellations at random moments leave nothing behind."""

from __future__ import annotations

import random

import trio

from persistence.faults import DatabaseUnavailable
from persistence.pool import Pool, open_pool

CANCELLATIONS = 1_000
IN_A_QUERY_MIN = 50
"""So many of them must hit a query; the others hit a wait for the pool."""
ROUNDS_MAX = 50_000
WORKERS = 16
BUSY = """
select count(*) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
"""


async def test_random_cancellations_leave_no_transaction_open(empty_database_url):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    rounds = cancelled = 0

    async def one(pool: Pool) -> None:
        async with pool.transaction() as connection:
            await connection.execute("insert into t values (1)")
            async with connection.pipeline():
                await connection.execute("select pg_sleep(0.002)")
                await connection.execute("insert into t values (1)")

    async def worker(pool: Pool) -> None:
        nonlocal rounds, cancelled
        while cancelled < CANCELLATIONS or pool.statistics().closed < IN_A_QUERY_MIN:
            rounds += 1
            assert rounds < ROUNDS_MAX, pool.statistics()
            with trio.move_on_after(rng.random() * 0.012) as scope:
                try:
                    await one(pool)
                except DatabaseUnavailable:
                    continue
            cancelled += scope.cancelled_caught

    async with open_pool(empty_database_url, size_max=6) as pool:
        async with pool.connection() as connection:
            await connection.execute("create table t (n int)")
        async with trio.open_nursery() as nursery:
            for _ in range(WORKERS):
                nursery.start_soon(worker, pool)
        statistics = pool.statistics()
        assert statistics.in_use == statistics.waiting == 0
        with trio.fail_after(10):
            async with pool.connection() as connection:
                while (await (await connection.execute(BUSY)).fetchone())[0]:
                    await trio.sleep(0.05)
                # Each transaction wrote both its rows or none.
                count = (await (await connection.execute("select count(*) from t")).fetchone())[0]
        assert count % 2 == 0
        async with trio.open_nursery() as nursery:  # and every place in the pool is good
            for _ in range(12):
                nursery.start_soon(one, pool)
