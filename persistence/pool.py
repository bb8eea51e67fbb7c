"""A bounded, fair pool of Trio-native connections to PostgreSQL.

Waiting is bounded (`checkout_timeout_s`) and first come, first served. A connection goes back only when it is
idle outside a transaction; anything else is rolled back or closed. While the database is away one task at a
time tries to reach it, with growing pauses, and everybody else waits no longer than they would for a
connection. Errors leave the pool's blocks as `persistence.faults`.
"""

from __future__ import annotations

import random as random_module
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import psycopg
import trio
from psycopg import pq

from persistence.connection import Connection, open_connection
from persistence.faults import DatabaseUnavailable, translated

IDLE_CHECK_S = 30.0
"""A connection idle for longer is asked for a sign of life before it is handed out."""
LIFE_CHECK_TIMEOUT_S = 1.0
LIFETIME_MAX_S = 3600.0
ROLLBACK_TIMEOUT_S = 1.0
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.05, 2.0


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """Connections now, tasks waiting for one, and what happened since the start."""

    size_max: int
    idle: int
    in_use: int
    waiting: int
    opened: int
    closed: int
    failed_connects: int
    failed_checkouts: int


@dataclass(slots=True)
class _Idle:
    connection: Connection
    since: float


class Pool:
    """Made by `open_pool`."""

    def __init__(
        self,
        conninfo: str,
        *,
        size_max: int,
        checkout_timeout_s: float,
        connect_timeout_s: float,
        statement_timeout_s: float,
        random: Callable[[], float],
    ) -> None:
        self._conninfo = conninfo
        self._size_max = size_max
        self._checkout_timeout_s = checkout_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._statement_timeout_s = statement_timeout_s
        self._random = random
        self._slots = trio.Semaphore(size_max, max_value=size_max)
        self._idle: deque[_Idle] = deque()
        self._born: dict[Connection, float] = {}
        self._connecting = trio.Lock()
        self._failures = 0
        self._retry_at = 0.0
        self._last_error = "no connection is free"
        self._closing = False
        self._opened = self._closed = self._failed_connects = self._failed_checkouts = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for the block, in autocommit mode. Raises DatabaseUnavailable when none is to be had."""
        with translated():
            connection = await self._check_out()
            try:
                yield connection
            finally:
                await self._check_in(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection in a transaction that commits when the block ends well, and rolls back otherwise.

        Raises OutcomeUnknown when the connection was lost during COMMIT.
        """
        async with self.connection() as connection:
            await connection.execute("begin")
            yield connection
            async with connection.committing():
                pass

    def statistics(self) -> PoolStatistics:
        """A snapshot."""
        return PoolStatistics(
            self._size_max,
            len(self._idle),
            self._size_max - self._slots.value,
            self._slots.statistics().tasks_waiting,
            self._opened,
            self._closed,
            self._failed_connects,
            self._failed_checkouts,
        )

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it comes back."""
        self._closing = True
        while self._idle:
            self._discard(self._idle.pop().connection)

    async def _check_out(self) -> Connection:
        with trio.move_on_after(self._checkout_timeout_s):
            try:
                self._slots.acquire_nowait()
            except trio.WouldBlock:
                await self._slots.acquire()
            with self._slot_freed_unless_used():
                return await self._ready_connection()
        self._failed_checkouts += 1
        raise DatabaseUnavailable(
            f"no connection to the database within {self._checkout_timeout_s:g} s: {self._last_error}"
        )

    @contextmanager
    def _slot_freed_unless_used(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._slots.release()
            raise

    async def _ready_connection(self) -> Connection:
        while True:
            while self._idle:
                idle = self._idle.pop()
                if await self._is_alive(idle):
                    return idle.connection
                self._discard(idle.connection)
            async with self._connecting:
                if self._idle:
                    continue
                await trio.sleep_until(self._retry_at)
                connection = await self._connect()
                if connection is not None:
                    return connection

    async def _connect(self) -> Connection | None:
        if self._closing:
            raise DatabaseUnavailable("the pool is closed")
        try:
            connection = await open_connection(
                self._conninfo,
                connect_timeout_s=self._connect_timeout_s,
                statement_timeout_s=self._statement_timeout_s,
            )
        except psycopg.Error as error:
            self._failures += 1
            self._failed_connects += 1
            self._last_error = str(error).strip()
            ceiling = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2**self._failures)
            self._retry_at = trio.current_time() + ceiling * (0.5 + self._random() / 2)
            return None
        self._failures = 0
        self._last_error = "no connection is free"
        self._opened += 1
        self._born[connection] = trio.current_time()
        return connection

    async def _is_alive(self, idle: _Idle) -> bool:
        if idle.connection.lost or idle.connection.has_unread_input():
            return False
        if trio.current_time() - idle.since < IDLE_CHECK_S:
            return True
        with trio.move_on_after(LIFE_CHECK_TIMEOUT_S):
            try:
                await idle.connection.execute("")
            except psycopg.Error:
                return False
            return True
        return False

    async def _check_in(self, connection: Connection) -> None:
        try:
            now = trio.current_time()
            old = now - self._born[connection] > LIFETIME_MAX_S
            if await self._is_clean(connection) and not old and not self._closing:
                self._idle.append(_Idle(connection, now))
            else:
                self._discard(connection)
        finally:
            self._slots.release()

    async def _is_clean(self, connection: Connection) -> bool:
        if connection.lost or connection.pgconn.pipeline_status != pq.PipelineStatus.OFF:
            return False
        status = connection.pgconn.transaction_status
        if status in (pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR):
            with trio.CancelScope(shield=True, deadline=trio.current_time() + ROLLBACK_TIMEOUT_S):
                try:
                    await connection.execute("rollback")
                except psycopg.Error:
                    return False
        return not connection.lost and connection.pgconn.transaction_status == pq.TransactionStatus.IDLE

    def _discard(self, connection: Connection) -> None:
        connection.abandon()
        self._born.pop(connection, None)
        self._closed += 1


@asynccontextmanager
async def open_pool(
    conninfo: str,
    *,
    size_max: int = 8,
    checkout_timeout_s: float = 2.0,
    connect_timeout_s: float = 5.0,
    statement_timeout_s: float = 10.0,
    random: Callable[[], float] = random_module.random,
) -> AsyncIterator[Pool]:
    """A pool for the block. Connections are made when needed, so this succeeds while the database is away."""
    pool = Pool(
        conninfo,
        size_max=size_max,
        checkout_timeout_s=checkout_timeout_s,
        connect_timeout_s=connect_timeout_s,
        statement_timeout_s=statement_timeout_s,
        random=random,
    )
    try:
        yield pool
    finally:
        pool.close()
