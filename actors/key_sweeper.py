"""Forgets idempotency keys that are older than they promise to be remembered."""

from __future__ import annotations

import logging
from datetime import timedelta

import trio

from persistence import accounts
from persistence.faults import DatabaseFault
from persistence.pool import Pool

log = logging.getLogger(__name__)

CHUNK_MAX = 5_000


class KeySweeper:
    """Looks every `every_s` seconds; deletes in chunks, so that no lock is held for long."""

    def __init__(self, pool: Pool, *, age: timedelta, every_s: float) -> None:
        self._pool = pool
        self._age = age
        self._every_s = every_s

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Sweep for ever; to be run by a supervisor."""
        task_status.started()
        while True:
            try:
                await self.sweep()
            except DatabaseFault as fault:
                log.warning("old idempotency keys stay for now: %s", fault)
            await trio.sleep(self._every_s)

    async def sweep(self) -> int:
        """Delete everything that is too old; returns how many records."""
        swept = 0
        while True:
            async with self._pool.connection() as connection:
                chunk = await accounts.forget_old_keys(connection, age=self._age, limit=CHUNK_MAX)
            swept += chunk
            if chunk < CHUNK_MAX:
                return swept
