"""Real servers for the tests: one PostgreSQL and one Redis for the whole run, started here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
import redis

from infra.local.postgres import LocalPostgres
from infra.local.redis import LocalRedis
from migrations import run as migrations
from tests.support.service import ServiceProcess

TEMPLATE = "migrated"
_numbers = count(1)


@pytest.fixture(scope="session")
def postgres_server(servers_folder: Path) -> Iterator[LocalPostgres]:
    """The session's PostgreSQL, with default durability."""
    server = LocalPostgres(servers_folder / "postgres", settings={"max_connections": "200"})
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server(servers_folder: Path) -> Iterator[LocalRedis]:
    """The session's Redis."""
    server = LocalRedis(servers_folder / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: LocalRedis) -> str:
    """The session's Redis, empty."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushdb()
    return redis_server.url


@pytest.fixture
def meddler(redis_url: str) -> Iterator[redis.Redis]:
    """A plain synchronous client of `redis_url`, to look and to meddle with."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def empty_database_url(postgres_server: LocalPostgres) -> Iterator[str]:
    """A new database without tables."""
    yield from _database(postgres_server, "template1")


@pytest.fixture(scope="session")
def migrated_template(postgres_server: LocalPostgres) -> str:
    """A database migrated once, to copy from."""
    postgres_server.create_database(TEMPLATE)
    migrations.up(postgres_server.url(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def database_url(postgres_server: LocalPostgres, migrated_template: str) -> Iterator[str]:
    """A new database with the newest schema."""
    yield from _database(postgres_server, migrated_template)


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection]:
    """A plain synchronous connection to `database_url`, to look and to meddle with."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def _database(server: LocalPostgres, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    server.create_database(name, template=template)
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """A folder that others may enter: under root PostgreSQL runs as another user, and pytest's are closed."""
    with tempfile.TemporaryDirectory(prefix="transactions-tests-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def service(
    postgres_server: LocalPostgres,
    redis_server: LocalRedis,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServiceProcess]:
    """One running service for all tests that only talk to it."""
    postgres_server.create_database("service", template=migrated_template)
    # A Redis database of its own, which the `redis_url` fixture never flushes.
    redis_url = redis_server.url.replace("db=0", "db=1")
    process = ServiceProcess(tmp_path_factory.mktemp("service"), postgres_server.url("service"), redis_url)
    process.start()
    yield process
    assert process.stop() == 0, process.log.read_text()
