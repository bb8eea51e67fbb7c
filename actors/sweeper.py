"""Forgets what has been kept for as long as was promised: idempotency keys, sessions, mailed codes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import trio

from persistence import accounts, mailed_secrets, sessions
from persistence.connection import Connection
from persistence.faults import DatabaseFault
from persistence.pool import Pool

log = logging.getLogger(__name__)

CHUNK_MAX = 5_000


@dataclass(frozen=True, slots=True)
class Ages:
    """How long idempotency keys are remembered after their use, and sessions and codes after their expiry."""

    keys: timedelta
    expired: timedelta


@dataclass(frozen=True, slots=True)
class SweeperStatistics:
    """Sweeps that came to their end and those that failed, and rows deleted, since the start."""

    sweeps: int
    failed: int
    deleted: int


class Sweeper:
    """Looks every `every_s` seconds; deletes in chunks, so that no lock is held for long."""

    def __init__(self, pool: Pool, ages: Ages, *, every_s: float) -> None:
        self._pool = pool
        self._ages = ages
        self._every_s = every_s
        self._sweeps = self._failed = self._deleted = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Sweep for ever; to be run by a supervisor."""
        task_status.started()
        while True:
            try:
                await self.sweep()
            except DatabaseFault as fault:
                self._failed += 1
                log.warning("what is too old stays for now: %s", fault)
            await trio.sleep(self._every_s)

    async def sweep(self) -> int:
        """Delete everything that is too old; returns how many keys and sessions."""
        ages = self._ages
        keys = await self._chunks(lambda c: accounts.forget_old_keys(c, age=ages.keys, limit=CHUNK_MAX))
        ended = await self._chunks(lambda c: sessions.forget(c, age=ages.expired, limit=CHUNK_MAX))
        async with self._pool.connection() as connection:
            await mailed_secrets.forget(connection, age=ages.expired)
        self._sweeps += 1
        self._deleted += keys + ended
        return keys + ended

    def statistics(self) -> SweeperStatistics:
        """A snapshot."""
        return SweeperStatistics(self._sweeps, self._failed, self._deleted)

    async def _chunks(self, forget: Callable[[Connection], Awaitable[int]]) -> int:
        swept = 0
        while True:
            async with self._pool.connection() as connection:
                chunk = await forget(connection)
            swept += chunk
            if chunk < CHUNK_MAX:
                return swept
