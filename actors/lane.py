"""A lane: takes a batch, commits it in one PostgreSQL transaction, answers everybody in it.

Two round trips: lock and read, then write and commit; in between `domain.settle` decides. What can go wrong,
and what becomes of it:

- a lock that a foreign writer holds past the statement timeout: everybody in the batch is told `unavailable`
- contention (serialization, deadlock with a foreign writer, a key taken by another process), or a connection
  lost before COMMIT was sent: nothing happened; tried again after a jittered pause, `attempts_max` times and
  for `retry_s` at most
- a connection lost after COMMIT was sent: looked up under the same row locks, never guessed; what could not be
  looked up within `resolve_timeout_s` is told so, and never done again
- a transaction the database refuses for its content: split in halves until the culprit is alone
- a ledger that went backwards: the account's actor crashes, with the messages it holds and no others
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import trio

from actors.account import LedgerRegressed, Transferring
from actors.coordinator import Coordinator
from domain.errors import Unavailable
from domain.settle import Settlement, settle
from persistence import ledger
from persistence.faults import (
    Away,
    Contention,
    DatabaseFault,
    DatabaseUnavailable,
    OutcomeUnknown,
    UniqueViolation,
)
from persistence.pool import Pool

log = logging.getLogger(__name__)

KEYS_INDEX = "idempotency_records_pkey"


@dataclass(frozen=True, slots=True)
class LaneStatistics:
    """Batches and orders committed, the largest batch, and what went wrong on the way, since the start."""

    batches: int
    orders: int
    batch_max: int
    retries: int
    splits: int
    unknown_outcomes: int


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """How often and how long a lane tries."""

    attempts_max: int = 8
    retry_s: float = 3.0
    pause_min_s: float = 0.01
    pause_max_s: float = 0.5
    resolve_timeout_s: float = 15.0


class _Crash(Exception):
    """An account's actor broke while its row was looked at."""

    def __init__(self, message: Transferring, account_id: int, reason: LedgerRegressed) -> None:
        super().__init__(str(reason))
        (self.actor,) = (actor for actor in message.actors if actor.account_id == account_id)
        self.reason = reason


class Lane:
    """One at a time; several lanes work on accounts that have nothing to do with each other.

    `random` gives floats in [0, 1), for jitter; `committed` is told which accounts have new entries.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        pool: Pool,
        *,
        limits: LaneLimits,
        random: Callable[[], float],
        committed: Callable[[Collection[int]], None] = lambda account_ids: None,
    ) -> None:
        self._coordinator = coordinator
        self._pool = pool
        self._limits = limits
        self._random = random
        self._committed = committed
        self._ids: deque[int] = deque()
        self._batches = 0
        self._orders = 0
        self._batch_max = 0
        self._retries = 0
        self._splits = 0
        self._unknown_outcomes = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Work until the coordinator is closed and empty; to be run by a supervisor."""
        self._coordinator.open()  # what closed it was the end of the lanes before
        task_status.started()
        while batch := await self._coordinator.take(self):
            with self._coordinator.leased(self, batch):
                await self._commit(batch)
            size = sum(message.weight for message in batch)
            self._batches += 1
            self._orders += size
            self._batch_max = max(self._batch_max, size)

    def statistics(self) -> LaneStatistics:
        """A snapshot."""
        return LaneStatistics(
            self._batches,
            self._orders,
            self._batch_max,
            self._retries,
            self._splits,
            self._unknown_outcomes,
        )

    async def _commit(self, messages: Sequence[Transferring]) -> None:
        try:
            settlement = await self._persistently(messages)
        except Away as fault:
            log.warning("a batch of %d failed: %s", len(messages), fault)
            for message in messages:
                message.fail(Unavailable(fault.message))
        except _Crash as crash:
            await self._crash(crash, messages)
        except DatabaseFault as fault:
            await self._split(messages, fault)
        else:
            for message, outcome in zip(messages, settlement.outcomes, strict=True):
                message.answer(outcome)

    async def _persistently(self, messages: Sequence[Transferring]) -> Settlement:
        attempt = 0
        give_up_at = trio.current_time() + self._limits.retry_s
        while True:
            attempt += 1
            last = attempt == self._limits.attempts_max or trio.current_time() >= give_up_at
            try:
                return await self._attempt(messages)
            except (Contention, DatabaseUnavailable):
                if last:
                    raise
            except UniqueViolation as violation:
                if last or violation.constraint != KEYS_INDEX:
                    raise
            self._retries += 1
            await self._pause(attempt)

    async def _attempt(self, messages: Sequence[Transferring]) -> Settlement:
        orders = [order for message in messages for order in message.body.orders]
        account_ids = {actor.account_id for message in messages for actor in message.actors}
        keys = sorted({order.key for order in orders if order.key is not None})
        settlement: Settlement | None = None
        try:
            async with self._pool.connection() as connection:
                locked = await ledger.lock(
                    connection, account_ids, keys, new_ids=max(0, len(orders) - len(self._ids))
                )
                self._ids.extend(locked.ids)
                self._observe(messages, locked)
                ids = iter(self._ids.popleft, None)
                batch = [message.body for message in messages]
                settlement = settle(batch, locked.accounts, locked.known, locked.now, ids)
                await ledger.post(connection, settlement)
        except OutcomeUnknown:
            self._unknown_outcomes += 1
            assert settlement is not None
            if settlement.writes and not await self._is_posted(account_ids, settlement):
                raise Contention("the transaction was lost with its connection") from None
        self._remember(messages, settlement)
        self._committed(settlement.heads.keys())
        return settlement

    def _observe(self, messages: Sequence[Transferring], locked: ledger.Locked) -> None:
        for message in messages:
            for actor in message.actors:
                account = locked.accounts.get(actor.account_id)
                if account is None:
                    continue
                try:
                    actor.observe(account)
                except LedgerRegressed as reason:
                    raise _Crash(message, actor.account_id, reason) from reason

    @staticmethod
    def _remember(messages: Sequence[Transferring], settlement: Settlement) -> None:
        for message in messages:
            for actor in message.actors:
                head = settlement.heads.get(actor.account_id)
                if head is not None:
                    actor.committed(head)

    async def _is_posted(self, account_ids: set[int], settlement: Settlement) -> bool:
        attempt = 0
        with trio.move_on_after(self._limits.resolve_timeout_s):
            while True:
                try:
                    async with self._pool.connection() as connection:
                        return await ledger.is_posted(connection, account_ids, settlement)
                except DatabaseFault:  # whatever it is, it says nothing of the batch
                    attempt += 1
                await self._pause(attempt)
        raise OutcomeUnknown("the outcome of a batch could not be looked up in time")

    async def _crash(self, crash: _Crash, messages: Sequence[Transferring]) -> None:
        broken = crash.actor
        for message in messages:
            if broken in message.actors:
                message.fail(Unavailable("this account's actor failed; it has been restarted"))
        self._coordinator.crash(broken, crash.reason)
        rest = [message for message in messages if broken not in message.actors]
        if rest:
            await self._commit(rest)

    async def _split(self, messages: Sequence[Transferring], fault: DatabaseFault) -> None:
        if len(messages) == 1:
            log.error("the database refuses %r: %s", messages[0].body, fault)
            messages[0].fail(fault)
            return
        self._splits += 1
        half = len(messages) // 2
        await self._commit(messages[:half])
        await self._commit(messages[half:])

    async def _pause(self, attempt: int) -> None:
        ceiling = min(self._limits.pause_max_s, self._limits.pause_min_s * 2**attempt)
        await trio.sleep(ceiling * self._random())
