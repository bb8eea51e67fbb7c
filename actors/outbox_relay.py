"""Moves mails from the outbox to the mail queue, at least once each, and looks after them until they are sent.

Told to `Wake` after every commit that left a mail; looks by itself every few seconds as well, so that a mail
is not missed when the telling was. While Redis or PostgreSQL is away, or the queue is full, mails wait in the
outbox and the relay tries again after growing, jittered pauses. What the queue has lost, with whatever else Redis
has forgotten, is moved again; what was sent is no longer kept. Rows relayed long ago are purged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import trio

from actors.actor import Actor
from domain.errors import Overloaded
from persistence import outbox
from persistence.faults import DatabaseFault
from persistence.mail_queue import Fate, MailQueue, QueueFull
from persistence.pool import Pool
from persistence.redis import RedisUnavailable

log = logging.getLogger(__name__)

CHUNK_MAX = 100
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.1, 10.0
KEEP_RELAYED = timedelta(days=30)
PURGE_CHUNK_MAX = 1_000
PURGE_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Wake:
    """There may be mail in the outbox."""


class OutboxRelay(Actor[Wake, int]):
    """`random` gives floats in [0, 1), for jitter."""

    def __init__(
        self,
        pool: Pool,
        queue: MailQueue,
        *,
        poll_s: float,
        random: Callable[[], float],
        keep_relayed: timedelta = KEEP_RELAYED,
    ) -> None:
        super().__init__(mailbox_max=1)
        self._pool = pool
        self._queue = queue
        self._poll_s = poll_s
        self._random = random
        self._keep_relayed = keep_relayed

    def wake(self) -> None:
        """Tell it that there is mail; one waiting message is as good as many."""
        try:
            self.tell(Wake())
        except Overloaded:
            return

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve wake-ups and look by itself."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tick)
            nursery.start_soon(self._confirm_regularly)
            nursery.start_soon(self._purge_regularly)
            await super().run(task_status=task_status)

    async def receive(self, body: Wake) -> int:
        """Move everything that waits, however long that takes; returns how many mails."""
        moved = failures = 0
        while True:
            try:
                chunk = await self._move()
            except (RedisUnavailable, QueueFull, DatabaseFault) as fault:
                failures += 1
                log.warning("mail waits in the outbox: %s", fault)
                ceiling_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2.0 ** min(failures, 16))
                await trio.sleep(ceiling_s * (0.5 + self._random() / 2))
                continue
            failures = 0
            moved += chunk
            if chunk < CHUNK_MAX:
                return moved

    async def _move(self) -> int:
        with trio.CancelScope() as scope:
            async with self._pool.transaction() as connection:
                rows = await outbox.take_waiting(connection, CHUNK_MAX)
                if not rows:
                    return 0
                await outbox.mark_relayed(connection, [row.id for row in rows])
                # From here to the end of COMMIT a cancellation would leave the mails in both places, to be
                # sent twice. Both steps are bounded: Redis by its timeout, COMMIT by the connection's.
                scope.shield = True
                await self._queue.add(rows)
        return len(rows)

    async def confirm(self) -> int:
        """Ask the queue what became of mails; returns how many it has lost, which wait again.

        Raises RedisUnavailable or DatabaseFault. Who asks at the same time does no harm: a mail that is moved twice is
        sent once.
        """
        lost, after_id = 0, 0
        while True:
            async with self._pool.connection() as connection:
                rows = await outbox.list_unconfirmed(connection, after_id=after_id, limit=CHUNK_MAX)
            if not rows:
                return lost
            after_id = rows[-1].id
            fates = await self._queue.fates([row.sealed for row in rows])
            ids = {
                fate: [row.id for row, each in zip(rows, fates, strict=True) if each is fate] for fate in Fate
            }
            async with self._pool.transaction() as connection:
                await outbox.mark_sent(connection, ids[Fate.FINISHED])
                await outbox.mark_waiting(connection, ids[Fate.LOST])
            lost += len(ids[Fate.LOST])

    async def purge(self) -> int:
        """Delete what was relayed longer ago than it is kept; returns how many rows. Raises DatabaseFault."""
        purged = 0
        while True:
            async with self._pool.connection() as connection:
                chunk = await outbox.purge_relayed(connection, age=self._keep_relayed, limit=PURGE_CHUNK_MAX)
            purged += chunk
            if chunk < PURGE_CHUNK_MAX:
                return purged

    async def _tick(self) -> None:
        while True:
            self.wake()
            await trio.sleep(self._poll_s * (0.75 + self._random() / 2))

    async def _confirm_regularly(self) -> None:
        while True:
            await trio.sleep(self._poll_s * (0.75 + self._random() / 2))
            try:
                lost = await self.confirm()
            except (RedisUnavailable, DatabaseFault) as fault:
                log.debug("what became of mails is not known: %s", fault)
                continue
            if lost:
                log.warning("the mail queue has lost %d mails: they are moved again", lost)
                self.wake()

    async def _purge_regularly(self) -> None:
        while True:
            try:
                await self.purge()
            except DatabaseFault as fault:
                log.warning("relayed rows stay in the outbox for now: %s", fault)
            await trio.sleep(PURGE_EVERY_S * (0.75 + self._random() / 2))
