"""The embedded PostgreSQL: data stay, and nothing that was killed stands in the way of the next start."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import psycopg
import pytest

from infra.local.launcher import EmbeddedServers
from infra.local.postgres import LocalPostgres
from infra.local.process import LocalServerError
from infra.local.redis import LocalRedis


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in (tmp_path, *tmp_path.parents[:3]):
        if path.stat().st_uid == os.geteuid():
            path.chmod(path.stat().st_mode | 0o055)
    return tmp_path / "postgres"


def ask(server: LocalPostgres, statement: str):
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else None


def test_postgres_keeps_data_and_durability_over_a_restart(folder):
    server = LocalPostgres(folder)
    server.start()
    ask(server, "create table kept as select 7 as n")
    assert ask(server, "select current_setting('fsync'), current_setting('synchronous_commit')") == [
        ("on", "on")
    ]
    server.stop()
    assert not server.running
    server.start()
    assert ask(server, "select n from kept") == [(7,)]
    server.stop()


def test_postgres_starts_after_being_killed(folder):
    server = LocalPostgres(folder)
    server.start()
    ask(server, "create table kept as select 7 as n")
    server.kill()
    server.start()
    assert ask(server, "select n from kept") == [(7,)]
    server.stop()


def test_postgres_replaces_an_orphan_of_a_killed_owner(folder):
    owner = os.fork()
    if owner == 0:
        LocalPostgres(folder).start()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(owner, 0)
    orphan = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(orphan, 0)
    server = LocalPostgres(folder)
    server.start()
    assert int((folder / "data" / "postmaster.pid").read_text().split()[0]) != orphan
    assert ask(server, "select 1") == [(1,)]
    server.stop()


def test_postgres_ignores_a_stale_pid_file_naming_a_stranger(folder):
    server = LocalPostgres(folder)
    server.start()
    server.stop()
    (folder / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{folder}/data\n0\n5432\n\n\n0 0\nready\n")
    server.start()
    assert ask(server, "select 1") == [(1,)]
    server.stop()


def test_postgres_never_takes_a_half_made_folder_for_a_database(folder):
    (folder / "data.partial" / "base").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "data" / "postgresql.conf").write_text("half")
    server = LocalPostgres(folder)
    server.start()
    assert ask(server, "select 1") == [(1,)]
    assert not (folder / "data.partial").exists()
    server.stop()


def test_postgres_works_below_a_very_long_path(folder):
    server = LocalPostgres(folder / ("deep" * 20) / ("deeper" * 10))
    server.start()
    assert ask(server, "select 1") == [(1,)]
    server.stop()


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_postgres_works_in_a_folder_closed_to_others(tmp_path, mode):
    """As root it then lives elsewhere, with its programs and their libraries."""
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(mode)
    server = LocalPostgres(closed / "postgres")
    server.start()
    assert server.create_database("transactions")
    assert ask(server, "select 1") == [(1,)]
    server.stop()
    server.start()
    assert not server.create_database("transactions")
    server.stop()
    shutil.rmtree(server.home)


def test_redis_keeps_what_it_was_told_over_a_kill(tmp_path):
    import redis

    server = LocalRedis(tmp_path / "redis")
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.xadd("mail", {"id": 1})
        client.config_set("appendfsync", "always")
        client.xadd("mail", {"id": 2})
    server.kill()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.xlen("mail") == 2
    server.stop()


def test_a_second_service_on_one_var_gets_one_clear_line(folder):
    with EmbeddedServers(folder) as embedded:
        database_url = embedded.start_postgres()
        line = f"another service runs on {folder}.*process {os.getpid()}"
        with pytest.raises(LocalServerError, match=line), EmbeddedServers(folder):
            pass
        with psycopg.connect(database_url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    with EmbeddedServers(folder) as embedded:
        embedded.start_postgres()
    assert not LocalPostgres(folder / "postgres").running


@pytest.mark.parametrize(("asked", "given"), [(40, "100"), (120, "120")])
def test_a_service_has_as_many_connections_as_it_asks_for_and_no_fewer_than_usual(folder, asked, given):
    with EmbeddedServers(folder) as embedded:
        database_url = embedded.start_postgres(connections=asked)
        with psycopg.connect(database_url) as connection:
            assert connection.execute("show max_connections").fetchone() == (given,)
