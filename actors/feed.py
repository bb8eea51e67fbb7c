"""Who watches an account is woken when it has new entries, whichever process committed them.

This process's own commits are announced by its lanes at once. For those of others the newest entry's number of
every watched account is read in one look, `LOOK_EVERY_S` apart and only while anybody watches (docs/decisions/0013).
An announcement is no more than a wake-up: what is new is read by `seq`, so none that is missed is missed for long.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from persistence import accounts
from persistence.faults import DatabaseFault
from persistence.pool import Pool

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class FeedStatistics:
    """Accounts watched and watchers now, and looks at the database since the start."""

    accounts: int
    watchers: int
    looks: int


class Feed:
    """Run by a supervisor."""

    def __init__(self, pool: Pool, *, look_every_s: float = LOOK_EVERY_S) -> None:
        self._pool = pool
        self._look_every_s = look_every_s
        self._watchers: dict[int, set[Callable[[], None]]] = {}
        self._seen: dict[int, int] = {}
        self._watched = trio.Event()
        self._looks = 0

    @contextmanager
    def watching(self, account_id: int, ring: Callable[[], None]) -> Iterator[None]:
        """Have `ring` called whenever the account may have new entries, for the block."""
        self._watchers.setdefault(account_id, set()).add(ring)
        self._watched.set()
        try:
            yield
        finally:
            rings = self._watchers[account_id]
            rings.discard(ring)
            if not rings:
                del self._watchers[account_id]
                self._seen.pop(account_id, None)

    def committed(self, account_ids: Collection[int]) -> None:
        """These accounts have new entries, committed here."""
        if self._watchers:
            for account_id in self._watchers.keys() & account_ids:
                self._wake(account_id)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look for what other processes committed, for ever."""
        task_status.started()
        while True:
            await self._watched.wait()
            await trio.sleep(self._look_every_s)
            if not self._watchers:
                self._watched = trio.Event()
                continue
            try:
                await self._look()
            except DatabaseFault as fault:
                log.warning("other processes' entries are not seen: %s", fault)

    def statistics(self) -> FeedStatistics:
        """A snapshot."""
        return FeedStatistics(len(self._watchers), sum(map(len, self._watchers.values())), self._looks)

    async def _look(self) -> None:
        async with self._pool.connection() as connection:
            newest = await accounts.newest_entries(connection, self._watchers)
        self._looks += 1
        for account_id, seq in newest.items():
            if account_id in self._watchers and self._seen.get(account_id) != seq:
                self._seen[account_id] = seq
                self._wake(account_id)

    def _wake(self, account_id: int) -> None:
        for ring in self._watchers[account_id]:
            ring()
