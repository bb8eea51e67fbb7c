"""The account actors that exist now, and their supervision.

An actor is made on first use and let go when it is idle and not among the `idle_max` most recently used: a
hundred thousand known accounts cost what the active ones cost. A crashed actor is replaced by a fresh one at
its next use (one_for_one); a crash loop ends this supervisor, which escalates.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass

import trio

from actors.account import AccountActor
from actors.restarts import RestartCounter, RestartIntensity, RestartIntensityExceeded

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RegistryStatistics:
    """How many actors exist, of those how many are idle, and how many crashed since the start."""

    actors: int
    idle: int
    crashes: int


class AccountRegistry:
    """Finds or makes the actor of an account."""

    def __init__(
        self,
        *,
        mailbox_max: int = 5_000,
        idle_max: int = 10_000,
        intensity: RestartIntensity | None = None,
    ) -> None:
        self._mailbox_max = mailbox_max
        self._idle_max = idle_max
        self._actors: dict[int, AccountActor] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._intensity = intensity or RestartIntensity(max_restarts=10, period_s=5.0)
        self._counter = RestartCounter(self._intensity)
        self._crashes = 0
        self._exceeded = trio.Event()

    def get(self, account_id: int) -> AccountActor:
        """The account's actor."""
        actor = self._actors.get(account_id)
        if actor is None:
            actor = self._actors[account_id] = AccountActor(account_id, mailbox_max=self._mailbox_max)
        else:
            self._idle.pop(account_id, None)
        return actor

    def rest(self, actor: AccountActor) -> None:
        """Note that an actor may have become idle; the one idle for longest is let go when there are many."""
        if not actor.idle or self._actors.get(actor.account_id) is not actor:
            return
        self._idle[actor.account_id] = None
        self._idle.move_to_end(actor.account_id)
        if len(self._idle) > self._idle_max:
            oldest, _ = self._idle.popitem(last=False)
            del self._actors[oldest]

    def crash(self, actor: AccountActor, reason: Exception) -> None:
        """Drop a crashed actor; the caller has failed its messages. Too many crashes escalate."""
        log.error("account actor %d crashed: %r", actor.account_id, reason)
        self._crashes += 1
        if self._actors.get(actor.account_id) is actor:
            del self._actors[actor.account_id]
        if not self._counter.allows(trio.current_time()):
            self._exceeded.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Supervise: ends only by raising RestartIntensityExceeded."""
        self._exceeded = trio.Event()
        self._counter = RestartCounter(self._intensity)
        task_status.started()
        await self._exceeded.wait()
        raise RestartIntensityExceeded("account actors crash too often")

    def statistics(self) -> RegistryStatistics:
        """A snapshot."""
        return RegistryStatistics(len(self._actors), len(self._idle), self._crashes)
