"""Which sessions have been ended lately: asked on every request, so kept in memory.

Access tokens are good without a look at the database, so ending a session must reach every process. The one
that ends it knows at once, and tells the others through Redis, where they look every `POLL_S`. PostgreSQL has
the truth: it is read every `TRUTH_EVERY_S`, and at every look while Redis is away, so a session is dead
everywhere within five seconds whatever Redis does. A start, and so a restart, begins with what PostgreSQL says.
What was known longer than `BELIEVED_S` ago is not believed: nobody is let in then. Without PostgreSQL there is
nothing that could be done with a token either.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import trio

from domain.errors import Unavailable
from persistence import sessions
from persistence.faults import DatabaseFault
from persistence.pool import Pool
from persistence.redis import RedisUnavailable
from persistence.revoked_sessions import RevokedSessions

log = logging.getLogger(__name__)

POLL_S = 1.0
TRUTH_EVERY_S = 2.0
BELIEVED_S = 10.0
OVERLAP_S = 10.0
"""Looks reach so far back beyond the look before: a commit becomes visible after the time it carries."""


@dataclass(frozen=True, slots=True)
class RevocationStatistics:
    """Sessions remembered as ended, and when PostgreSQL was last asked, on Trio's clock."""

    ended: int
    told: int
    asked_at: float


class Revocations:
    """Run by a supervisor. `kept_s` is how long an access token may live, leeway included."""

    def __init__(self, pool: Pool, shared: RevokedSessions, *, kept_s: float) -> None:
        self._pool = pool
        self._shared = shared
        self._kept_s = kept_s
        self._ended: OrderedDict[UUID, float] = OrderedDict()
        self._untold: set[UUID] = set()
        self._told = 0
        self._asked_at = -math.inf
        self._wake = trio.Event()

    def is_revoked(self, session_id: UUID) -> bool:
        """Whether the session was ended while access tokens of it may still live.

        Raises Unavailable when that has not been known for too long.
        """
        if trio.current_time() - self._asked_at > BELIEVED_S:
            raise Unavailable("which sessions have ended is not known")
        return session_id in self._ended

    def revoke(self, session_ids: Collection[UUID]) -> None:
        """These sessions have been ended, by a committed transaction: believe their tokens no more."""
        self._remember(session_ids)
        self._untold.update(session_ids)
        self._wake.set()

    def statistics(self) -> RevocationStatistics:
        """A snapshot."""
        return RevocationStatistics(len(self._ended), self._told, self._asked_at)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell and be told, for ever; ready once everything that was ended lately is known."""
        await self._ask_truth()
        task_status.started()
        while True:
            with trio.move_on_after(POLL_S):
                await self._wake.wait()
            self._wake = trio.Event()
            self._forget()
            shared = await self._share()
            if not shared or trio.current_time() - self._asked_at >= TRUTH_EVERY_S:
                await self._ask_truth()

    async def _share(self) -> bool:
        untold = frozenset(self._untold)
        try:
            if untold:
                await self._shared.add(untold)
                self._untold -= untold
                self._told += len(untold)
            self._remember(await self._shared.since(TRUTH_EVERY_S + OVERLAP_S))
        except RedisUnavailable as fault:
            log.warning("ended sessions are read from the database alone: %s", fault)
            return False
        return True

    async def _ask_truth(self) -> None:
        now = trio.current_time()
        age = timedelta(seconds=min(self._kept_s, now - self._asked_at + OVERLAP_S))
        try:
            async with self._pool.connection() as connection:
                self._remember(await sessions.ended_since(connection, age))
        except DatabaseFault as fault:
            log.warning("it is not known which sessions were ended: %s", fault)
        else:
            self._asked_at = now

    def _remember(self, session_ids: Iterable[UUID]) -> None:
        forget_at = trio.current_time() + self._kept_s
        for session_id in session_ids:
            self._ended.setdefault(session_id, forget_at)

    def _forget(self) -> None:
        now = trio.current_time()
        while self._ended and next(iter(self._ended.values())) <= now:
            self._ended.popitem(last=False)
