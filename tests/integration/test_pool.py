"""The Trio-native connection and its pool, against a real PostgreSQL."""

from __future__ import annotations

import psycopg
import pytest
import trio
import trio.testing

from infra.local.postgres import LocalPostgres
from persistence.connection import open_connection
from persistence.faults import (
    ConstraintViolation,
    Contention,
    DatabaseFault,
    DatabaseUnavailable,
    OutcomeUnknown,
    StatementTimeout,
    UniqueViolation,
)
from persistence.ledger import array, text_array
from persistence.pool import open_pool
from tests.support.service import free_port


async def value(connection, statement: str, parameters=None):
    cursor = await connection.execute(statement, parameters)
    return (await cursor.fetchone())[0]


async def test_arrays_arrive_as_they_were_made(empty_database_url):
    connection = await open_connection(empty_database_url)
    numbers = [0, -1, 2**63 - 1, -(2**63)]
    texts = ["alice", "NULL", "", " ", ",", "{}", '"', "\\", '\\"', "a\nb", "ü"]
    assert await value(connection, "select %s::bigint[]", [array(numbers)]) == numbers
    assert await value(connection, "select %s::bigint[]", [array([])]) == []
    assert await value(connection, "select %s::text[]", [text_array(texts)]) == texts
    connection.abandon()


async def test_connection_runs_queries_pipelines_and_sets_its_session(empty_database_url):
    connection = await open_connection(empty_database_url, statement_timeout_s=7)
    assert await value(connection, "select %s::int + 1", [41]) == 42
    assert await value(connection, "show timezone") == "UTC"
    assert await value(connection, "show statement_timeout") == "7s"
    async with connection.pipeline():
        cursors = [await connection.execute("select %s::int", [n]) for n in range(50)]
        assert [(await cursor.fetchone())[0] for cursor in cursors] == list(range(50))
    big = "x" * 5_000_000  # more than the socket takes at once, both ways
    assert await value(connection, "select %s::text", [big]) == big
    connection.abandon()


async def test_connection_refuses_two_tasks_at_once(empty_database_url):
    connection = await open_connection(empty_database_url)
    with pytest.RaisesGroup(psycopg.ProgrammingError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.execute, "select pg_sleep(1)")
            nursery.start_soon(connection.execute, "select pg_sleep(1)")
    connection.abandon()


async def test_connection_tries_every_host_for_one_that_takes_writes(
    postgres_server, empty_database_url, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("readonly")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    standby = LocalPostgres(folder, settings={"default_transaction_read_only": "on"})
    standby.start()
    try:
        first, second = (str(server.socket_folder) for server in (standby, postgres_server))
        name = empty_database_url.split("?")[0].rpartition("/")[2]
        with psycopg.connect(standby.url("postgres"), autocommit=True) as direct:
            direct.execute("set default_transaction_read_only = off")
            direct.execute(f"create database {name}")
        conninfo = f"host={first},{second} user=postgres dbname={name} target_session_attrs=read-write"
        connection = await open_connection(conninfo)
        assert await value(connection, "show default_transaction_read_only") == "off"
        connection.abandon()
        connection = await open_connection(conninfo.replace("read-write", "any"))
        assert await value(connection, "show default_transaction_read_only") == "on"
        connection.abandon()
    finally:
        standby.stop()


async def test_connection_names_every_host_it_could_not_reach():
    port = free_port()
    with pytest.raises(psycopg.OperationalError, match=rf"127\.0\.0\.1:{port}.*127\.0\.0\.2:{port}"):
        await open_connection(f"host=127.0.0.1,127.0.0.2 port={port},{port} user=x dbname=x")


async def test_connection_to_a_silent_host_times_out():
    silent = trio.socket.socket()
    await silent.bind(("127.0.0.1", 0))
    silent.listen(1)
    port = silent.getsockname()[1]
    with trio.fail_after(5), pytest.raises(psycopg.OperationalError, match=r"no answer within 0\.2 s"):
        await open_connection(f"host=127.0.0.1 port={port} user=x dbname=x", connect_timeout_s=0.2)
    silent.close()


async def test_transaction_commits_or_rolls_back(empty_database_url):
    async with open_pool(empty_database_url) as pool:
        async with pool.transaction() as connection:
            await connection.execute("create table t (n int primary key)")
            await connection.execute("insert into t values (1)")
        with pytest.raises(RuntimeError):
            async with pool.transaction() as connection:
                await connection.execute("insert into t values (2)")
                raise RuntimeError
        with pytest.raises(UniqueViolation) as caught:
            async with pool.transaction() as connection:
                await connection.execute("insert into t values (1)")
        assert caught.value.constraint == "t_pkey"
        async with pool.connection() as connection:
            assert await value(connection, "select array_agg(n) from t") == [1]
        assert pool.statistics().opened == 1  # rolled back, not thrown away


async def test_faults_tell_what_went_wrong(empty_database_url):
    async with open_pool(empty_database_url, statement_timeout_s=0.2) as pool:
        with pytest.raises(StatementTimeout):
            async with pool.connection() as connection:
                await connection.execute("select pg_sleep(5)")
        async with pool.connection() as connection:
            await connection.execute("create table t (n int constraint positive check (n > 0))")
        with pytest.raises(ConstraintViolation) as caught:
            async with pool.connection() as connection:
                await connection.execute("insert into t values (-1)")
        assert caught.value.constraint == "positive"
        with pytest.raises(DatabaseFault, match="does not exist"):
            async with pool.connection() as connection:
                await connection.execute("select * from nowhere")
        with pytest.raises(Contention):
            async with pool.connection() as connection:
                await connection.execute("do $$ begin raise sqlstate '40001'; end $$")


async def test_a_cancelled_query_closes_its_connection_and_its_backend(empty_database_url):
    async with open_pool(empty_database_url) as pool:
        with trio.move_on_after(0.1):
            async with pool.connection() as connection:
                pid = await value(connection, "select pg_backend_pid()")
                await connection.execute("select pg_sleep(30)")
        assert pool.statistics().idle == 0
        with trio.fail_after(5):
            async with pool.connection() as connection:
                while await value(connection, "select count(*) from pg_stat_activity where pid = %s", [pid]):
                    await trio.sleep(0.05)


async def test_waiting_for_a_connection_is_bounded_and_fair(empty_database_url):
    async with open_pool(empty_database_url, size_max=1, checkout_timeout_s=0.3) as pool:
        order: list[int] = []

        async def use(number: int) -> None:
            async with pool.connection():
                order.append(number)

        async with pool.connection():
            with pytest.raises(DatabaseUnavailable, match=r"within 0\.3 s"):
                async with pool.connection():
                    pass
        async with trio.open_nursery() as nursery:
            hold = trio.Event()

            async def holder() -> None:
                async with pool.connection():
                    await hold.wait()

            nursery.start_soon(holder)
            await trio.testing.wait_all_tasks_blocked(0.01)
            for number in range(5):
                nursery.start_soon(use, number)
                await trio.testing.wait_all_tasks_blocked(0.01)
            hold.set()
        assert order == [0, 1, 2, 3, 4]
        assert pool.statistics().failed_checkouts == 1


async def test_a_connection_that_died_while_idle_is_not_handed_out(empty_database_url, database_killer):
    async with open_pool(empty_database_url) as pool:
        async with pool.connection() as connection:
            pid = await value(connection, "select pg_backend_pid()")
        database_killer(pid)
        with trio.fail_after(5):
            while not pool._idle[0].connection.has_unread_input():
                await trio.sleep(0.01)
        async with pool.connection() as connection:
            assert await value(connection, "select pg_backend_pid()") != pid
        assert pool.statistics().closed == 1


@pytest.fixture
def database_killer(postgres_server):
    def kill(pid: int) -> None:
        with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
            connection.execute("select pg_terminate_backend(%s)", [pid])

    return kill


async def test_a_connection_lost_during_commit_is_an_unknown_outcome(empty_database_url, database_killer):
    async with open_pool(empty_database_url) as pool:
        async with pool.connection() as connection:
            await connection.execute(
                """
                create table t (n int);
                create function slow() returns trigger language plpgsql
                as $$ begin perform pg_sleep(30); return null; end $$;
                create constraint trigger slow after insert on t deferrable initially deferred
                for each row execute function slow();
                """
            )
        with pytest.raises(OutcomeUnknown):
            async with pool.transaction() as connection:
                pid = await value(connection, "select pg_backend_pid()")
                await connection.execute("insert into t values (1)")
                trio.lowlevel.spawn_system_task(_kill_soon, database_killer, pid)
        async with pool.connection() as connection:
            assert await value(connection, "select count(*) from t") == 0


async def _kill_soon(killer, pid: int) -> None:
    await trio.sleep(0.3)
    await trio.to_thread.run_sync(killer, pid)


async def test_a_connection_lost_before_commit_is_unavailable(empty_database_url, database_killer):
    async with open_pool(empty_database_url) as pool:
        with pytest.raises(DatabaseUnavailable):
            async with pool.transaction() as connection:
                database_killer(await value(connection, "select pg_backend_pid()"))
                await connection.execute("select 1")


async def test_cancellation_during_commit_waits_for_its_answer(empty_database_url):
    async with open_pool(empty_database_url) as pool:
        async with pool.connection() as connection:
            await connection.execute("create table t (n int)")
        with trio.CancelScope() as scope:
            async with pool.transaction() as connection:
                await connection.execute("insert into t values (1)")
                scope.cancel()
        async with pool.connection() as connection:
            assert await value(connection, "select count(*) from t") == 1
        assert pool.statistics().opened == 1


async def test_the_pool_comes_back_after_a_restart_and_fails_fast_meanwhile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    server = LocalPostgres(folder)
    server.start()
    async with open_pool(server.url("postgres"), checkout_timeout_s=0.5) as pool:
        async with pool.connection() as connection:
            assert await value(connection, "select 1") == 1
        server.stop()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(_expect_unavailable, pool)
        assert trio.current_time() - began < 2
        assert pool.statistics().failed_connects < 20  # nobody hammers a server that is down
        server.start()
        with trio.fail_after(10):
            while True:
                try:
                    async with pool.connection() as connection:
                        assert await value(connection, "select 1") == 1
                        break
                except DatabaseUnavailable:
                    continue
    server.stop()


async def _expect_unavailable(pool) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with pool.connection():
            pass
