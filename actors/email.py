"""The email actor: drains the mail queue, one mail at a time.

A mail is acknowledged after it was sent. One that fails is tried again after a growing, jittered pause, and
becomes a dead letter after `attempts_max` tries, or at once when the server refuses it for good or it can not
be opened. Mails that a dead consumer left unfinished are taken over; one that time and again ends its
consumers becomes a dead letter too.

At least once: a process that dies between the sending and the acknowledgement has the mail sent again by
another, with the same Message-ID. Neither Redis going away in between nor a cancellation does that.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from itertools import count

import trio

from actors.delivery import Delivery, DeliveryFailed
from persistence.mail_queue import MailQueue, QueueCounts, QueuedMail
from persistence.redis import RedisUnavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MailLimits:
    """How often and how long.

    The pause after the first failure is `pause_min_s`, and `pause_factor` times as long after each further one;
    with five attempts that is 13 minutes at most, so a restarting mail server costs no mail. What a dead
    consumer held is taken over after `stale_s`; the living say three times in that time that they live.
    """

    attempts_max: int = 5
    pause_min_s: float = 5.0
    pause_factor: float = 5.0
    pause_max_s: float = 900.0
    retries_max: int = 1_000
    stale_s: float = 60.0
    block_s: float = 1.0
    reconnect_min_s: float = 0.1
    reconnect_max_s: float = 5.0


@dataclass(frozen=True, slots=True)
class EmailStatistics:
    """What happened since the start, how many mails wait for their next try, and the queue some seconds ago."""

    sent: int
    failed_attempts: int
    buried: int
    waiting_for_retry: int
    queue: QueueCounts | None


class EmailActor:
    """Run by a supervisor. `unseal` opens a mail, or raises ValueError; `random` is for jitter."""

    def __init__(
        self,
        queue: MailQueue,
        delivery: Delivery,
        *,
        unseal: Callable[[bytes], EmailMessage],
        random: Callable[[], float],
        limits: MailLimits | None = None,
    ) -> None:
        self._queue = queue
        self._delivery = delivery
        self._unseal = unseal
        self._random = random
        self._limits = limits or MailLimits()
        self._in_hand: QueuedMail | None = None
        self._retries: list[tuple[float, int, QueuedMail]] = []
        self._unconfirmed: set[str] = set()  # sent, but Redis does not know yet
        self._order = count()
        self._next_claim = 0.0
        self._stopping = False
        self._waiting: trio.CancelScope | None = None
        self._sent = self._failed_attempts = self._buried = 0
        self._counts: QueueCounts | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Drain the queue until stopped. While Redis is away: wait, and try again.

        After a crash the mail that was in hand is left to be taken over, which counts; the others are kept.
        """
        self._stopping = False
        self._in_hand = None
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_hold)
            await self._drain()
            nursery.cancel_scope.cancel()
        await self._leave()

    def stop(self) -> None:
        """Finish the mail in hand and end; what else is here goes back to the queue."""
        self._stopping = True
        if self._waiting is not None:
            self._waiting.cancel()

    def statistics(self) -> EmailStatistics:
        """A snapshot."""
        return EmailStatistics(
            self._sent, self._failed_attempts, self._buried, len(self._retries), self._counts
        )

    async def _drain(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                if self._in_hand is None:
                    self._in_hand = await self._next_mail()
                if self._in_hand is not None and not self._stopping:
                    await self._handle(self._in_hand)
                    self._in_hand = None
                failures = 0
            except RedisUnavailable as fault:
                failures += 1
                log.warning("the mail queue is not available: %s", fault)
                limits = self._limits
                await self._sleep(self._pause_s(failures, limits.reconnect_min_s, 2.0, limits.reconnect_max_s))

    async def _next_mail(self) -> QueuedMail | None:
        now = trio.current_time()
        if self._retries and self._retries[0][0] <= now:
            return await self._due_retry()
        if now >= self._next_claim:
            stale = await self._queue.claim_stale(idle_s=self._limits.stale_s)
            if stale is not None:
                return stale
            self._next_claim = now + self._limits.stale_s / 2
        wait_s = self._limits.block_s
        if self._retries:
            wait_s = min(wait_s, max(0.001, self._retries[0][0] - now))
        if len(self._retries) >= self._limits.retries_max:
            await self._sleep(wait_s)  # the mail server is down: what is new waits in the queue
            return None
        return await self._read(wait_s)

    async def _due_retry(self) -> QueuedMail | None:
        mail = self._retries[0][2]
        taken = await self._queue.hold([mail])  # may raise: then it is still the first
        heapq.heappop(self._retries)
        return None if mail.entry_id in taken else mail

    async def _read(self, block_s: float) -> QueuedMail | None:
        # Cancelled only by `stop`: what Redis may have handed over unseen is given back by `leave`.
        with self._until_stopped():
            mails = await self._queue.read(1, block_s=block_s)
            return mails[0] if mails else None
        return None

    async def _handle(self, mail: QueuedMail) -> None:
        # Whatever raises RedisUnavailable here is done again from the start, except for the sending.
        if mail.deliveries > self._limits.attempts_max:
            await self._bury(mail, f"{mail.deliveries - 1} consumers ended while they had it")
            return
        if mail.key not in self._unconfirmed and not await self._queue.was_sent(mail):
            try:
                await self._delivery.deliver(self._unseal(mail.sealed))
            except ValueError as error:
                await self._bury(mail, str(error))
                return
            except DeliveryFailed as failure:
                await self._failed(mail, failure)
                return
            self._sent += 1
            self._unconfirmed.add(mail.key)
        # A cancellation now would have it sent again by another; Redis's time limit bounds the wait.
        with trio.CancelScope(shield=True):
            await self._queue.acknowledge(mail)
        self._unconfirmed.discard(mail.key)

    async def _failed(self, mail: QueuedMail, failure: DeliveryFailed) -> None:
        self._failed_attempts += 1
        attempts = await self._queue.count_attempt(mail)
        limits = self._limits
        if failure.permanent or attempts >= limits.attempts_max:
            await self._bury(mail, str(failure))
            return
        log.warning("mail %d: attempt %d failed: %s", mail.outbox_id, attempts, failure)
        pause_s = self._pause_s(attempts, limits.pause_min_s, limits.pause_factor, limits.pause_max_s)
        heapq.heappush(self._retries, (trio.current_time() + pause_s, next(self._order), mail))

    async def _bury(self, mail: QueuedMail, reason: str) -> None:
        await self._queue.bury(mail, reason)
        self._buried += 1
        log.error("mail %d is a dead letter: %s", mail.outbox_id, reason)

    async def _keep_hold(self) -> None:
        while True:
            try:
                self._counts = await self._queue.counts()
                mine = [mail for _, _, mail in self._retries] + ([self._in_hand] if self._in_hand else [])
                taken = await self._queue.hold(mine)
                self._retries = [each for each in self._retries if each[2].entry_id not in taken]
                heapq.heapify(self._retries)
            except RedisUnavailable as fault:
                log.debug("could not keep hold of mails: %s", fault)
            await trio.sleep(self._limits.stale_s / 3)

    async def _leave(self) -> None:
        self._retries.clear()
        try:
            await self._queue.leave()
        except RedisUnavailable as fault:
            log.warning("left the mail queue without saying so: %s", fault)

    async def _sleep(self, pause_s: float) -> None:
        with self._until_stopped():
            await trio.sleep(pause_s)

    def _until_stopped(self) -> trio.CancelScope:
        # Cancelled already when `stop` came first, while nothing was there for it to cancel.
        self._waiting = trio.CancelScope()
        if self._stopping:
            self._waiting.cancel()
        return self._waiting

    def _pause_s(self, failures: int, first_s: float, factor: float, most_s: float) -> float:
        ceiling_s = min(most_s, first_s * factor ** min(failures - 1, 16))
        return ceiling_s * (0.5 + self._random() / 2)
