"""The embedded servers of one service: PostgreSQL and Redis under `var/`, for as long as the service runs."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from infra.local.postgres import LocalPostgres
from infra.local.process import STOP_TIMEOUT_S, Check, FolderLock, LocalServerError, go_on
from infra.local.redis import LocalRedis

DATABASE = "transactions"
CONNECTIONS = 100
"""PostgreSQL's default."""
AT_ONCE_S = 1.0
"""For each server to shut down in order, where there is no time."""


class EmbeddedServers:
    """What `start` is asked for, until the block ends; each server is then given `stop_s`.

    One service at a time on one `var/`: a second gets a LocalServerError with one clear line. Servers that
    `make postgres` or `make redis` hold are used, and left running.
    """

    def __init__(self, var_dir: Path, *, stop_s: float = STOP_TIMEOUT_S) -> None:
        self._var_dir = var_dir
        self._stop_s = stop_s
        self._lock = FolderLock(var_dir / "lock", f"another service runs on {var_dir.absolute()}")
        self._ours: list[LocalPostgres | LocalRedis] = []

    def __enter__(self) -> EmbeddedServers:
        self._lock.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop(self._stop_s)
        self._lock.release()

    def start_redis(self, check: Check = go_on) -> str:
        """Its URL. Raises LocalServerError, and whatever `check` does."""
        server = LocalRedis(self._var_dir / "redis")
        self._start(server, check)
        return server.url

    def start_postgres(self, check: Check = go_on, *, connections: int = CONNECTIONS) -> str:
        """The URL of our database in it. Raises LocalServerError, and whatever `check` does."""
        settings = {"max_connections": str(max(connections, CONNECTIONS))}
        server = LocalPostgres(self._var_dir / "postgres", settings=settings)
        self._start(server, check)
        check()
        server.create_database(DATABASE)
        return server.url(DATABASE)

    def stop_at_once(self) -> None:
        """End them in a second or two; safe in a signal handler and in another thread."""
        self._stop(AT_ONCE_S)

    def _start(self, server: LocalPostgres | LocalRedis, check: Check) -> None:
        self._ours.append(server)  # first: a signal may come while it starts
        try:
            server.start(check)
        except LocalServerError:
            self._ours.remove(server)
            if not server.running:
                raise

    def _stop(self, timeout_s: float) -> None:
        for server in reversed(self._ours):
            server.stop(timeout_s)
