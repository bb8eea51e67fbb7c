"""The embedded servers of one service: PostgreSQL and Redis under `var/`, for as long as the service runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.postgres import LocalPostgres
from infra.local.process import FolderLock, LocalServerError
from infra.local.redis import LocalRedis

DATABASE = "transactions"


@dataclass(frozen=True, slots=True)
class Embedded:
    """Where the embedded servers are; None for those that were not asked for."""

    database_url: str | None
    redis_url: str | None


@contextmanager
def open_embedded(var_dir: Path, *, postgres: bool, redis: bool) -> Iterator[Embedded]:
    """Start what is asked for, and stop it when the block ends.

    One service at a time on one `var/`: a second gets a LocalServerError with one clear line. Servers that
    `make postgres` or `make redis` hold are used, and left running.
    """
    lock = FolderLock(var_dir / "lock", f"another service runs on {var_dir.absolute()}")
    lock.acquire()
    with ExitStack() as stack:
        stack.callback(lock.release)
        database_url = redis_url = None
        if redis:
            local_redis = LocalRedis(var_dir / "redis")
            _use(local_redis, stack)
            redis_url = local_redis.url
        if postgres:
            local_postgres = LocalPostgres(var_dir / "postgres")
            _use(local_postgres, stack)
            local_postgres.create_database(DATABASE)
            database_url = local_postgres.url(DATABASE)
        yield Embedded(database_url, redis_url)


def _use(server: LocalPostgres | LocalRedis, stack: ExitStack) -> None:
    try:
        server.start()
    except LocalServerError:
        if not server.running:
            raise
    else:
        stack.callback(server.stop)
