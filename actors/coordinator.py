"""The transfer coordinator: who waits, who may go, and in which batch.

An order waits in the mailboxes of its two accounts, a bundle in those of all its orders' accounts. A lane that is
free gathers a batch: it walks the mailboxes of free accounts in order of arrival and takes everything whose other
accounts are free too, or already its own. What it takes it leases, all at once and without waiting in between,
so lanes can not deadlock. While a lane commits, arrivals for its accounts wait, and make up the next batch: the
hotter an account, the larger its batches.

Fairness. Accounts become ready in turn, so a cold pair waits for one batch at most. Work of which another account
is busy may be overtaken by later arrivals, but only `overtake_max` times: then its account serves nobody else
until it has gone. Wherever all its accounts are free it can go, and every lease ends with its batch, so it will.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast, overload

import trio

from actors.account import AccountActor, Transferring
from actors.message import Listener, State
from actors.registry import AccountRegistry
from domain.errors import Code, Overloaded, Unavailable
from domain.ledger import Bundle, BundleOutcome, Order, Outcome


@dataclass(frozen=True, slots=True)
class CoordinatorStatistics:
    """Orders waiting and in batches now, and how many came since the start."""

    waiting: int
    in_flight: int
    received: int
    overloaded: int


class Coordinator:
    """Takes orders from `application`, hands batches to lanes."""

    def __init__(
        self,
        registry: AccountRegistry,
        *,
        batch_max: int = 512,
        overtake_max: int = 1_024,
        waiting_max: int = 20_000,
    ) -> None:
        self._registry = registry
        self._batch_max = batch_max
        self._overtake_max = overtake_max
        self._waiting_max = waiting_max
        self._ready: OrderedDict[AccountActor, None] = OrderedDict()
        self._lanes = trio.lowlevel.ParkingLot()
        self._waiting = 0
        self._in_flight = 0
        self._received = 0
        self._overloaded = 0
        self._closed = False

    @overload
    async def ask(self, work: Order) -> Outcome: ...

    @overload
    async def ask(self, work: Bundle) -> BundleOutcome: ...

    async def ask(self, work: Order | Bundle) -> Outcome | BundleOutcome:
        """Have an order or a bundle carried out, and wait for its outcome.

        Raises Overloaded or Unavailable; after the latter the order may still have been committed: only repeating
        it with the same idempotency key tells. A caller that is cancelled, or whose time is up, withdraws an order
        that is in no batch yet.
        """
        message = self._enter(work)
        return cast(Outcome | BundleOutcome, await message.reply(self._withdraw))

    def tell(self, order: Order, listener: Listener) -> Transferring:
        """Have an order carried out without waiting: `listener` is told the outcome, where it becomes known.

        Raises Overloaded, or Unavailable when shutting down.
        """
        message = self._enter(order)
        message.listen(listener)
        return message

    def withdraw(self, message: Transferring) -> None:
        """Nobody wants the outcome any more; an order that is in no batch yet is not carried out."""
        if message.withdraw():
            self._withdraw(message)

    async def take(self, lane: object) -> list[Transferring]:
        """Wait for a batch and lease its accounts to `lane`; empty when closed and nothing waits any more."""
        await trio.lowlevel.checkpoint()
        while True:
            batch = self._gather(lane)
            if batch or (self._closed and not self._waiting):
                return batch
            await self._lanes.park()

    @contextmanager
    def leased(self, lane: object, batch: list[Transferring]) -> Iterator[None]:
        """End the leases of a batch when the block ends, and fail what has not been answered by then."""
        try:
            yield
        finally:
            for message in batch:
                if message.state is State.TAKEN:
                    message.fail(Unavailable("the transfer could not be completed; its outcome is unknown"))
            self._in_flight -= sum(message.weight for message in batch)
            self._release(lane, batch)

    def crash(self, actor: AccountActor, reason: Exception) -> None:
        """An actor broke: fail the messages it holds, and only those, and have it replaced."""
        for message in actor.mailbox.first(len(actor.mailbox)):
            message.leave()
            self._waiting -= message.weight
            message.fail(Unavailable("this account's actor failed; it has been restarted"))
            for other in message.actors:
                if other is not actor:
                    self._registry.rest(other)
        self._ready.pop(actor, None)
        self._registry.crash(actor, reason)

    def open(self) -> None:
        """Take orders: there is a lane again."""
        self._closed = False

    def close(self) -> None:
        """Refuse new orders until opened again; lanes end when what waits has been carried out."""
        self._closed = True
        self._lanes.unpark_all()

    def statistics(self) -> CoordinatorStatistics:
        """A snapshot."""
        return CoordinatorStatistics(self._waiting, self._in_flight, self._received, self._overloaded)

    def _enter(self, work: Order | Bundle) -> Transferring:
        if self._closed:
            raise Unavailable("shutting down", Code.SHUTTING_DOWN, retry_after_s=5)
        actors = [self._registry.get(account_id) for account_id in work.account_ids]
        try:
            self._check_room()
            message = Transferring(work, actors)
        except Overloaded:
            self._overloaded += 1
            self._rest(actors)
            raise
        weight = message.weight
        self._received += weight
        self._waiting += weight
        if message.can_go(None):
            self._ready[actors[0]] = None
            self._lanes.unpark()
        return message

    def _check_room(self) -> None:
        if self._waiting >= self._waiting_max:
            raise Overloaded("too many transfers are waiting")

    def _withdraw(self, message: Transferring) -> None:
        message.leave()
        self._rest(message.actors)
        self._waiting -= message.weight
        if self._closed and not self._waiting:
            self._lanes.unpark_all()

    def _rest(self, actors: Iterable[AccountActor]) -> None:
        for actor in actors:
            self._registry.rest(actor)

    def _gather(self, lane: object) -> list[Transferring]:
        batch: list[Transferring] = []
        room = self._batch_max
        while self._ready and room > 0:
            actor, _ = self._ready.popitem(last=False)
            if actor.holder is None or actor.holder is lane:
                room = self._walk(actor, lane, batch, room)
        if self._ready:
            self._lanes.unpark()
        taken = self._batch_max - room
        self._waiting -= taken
        self._in_flight += taken
        return batch

    def _walk(self, actor: AccountActor, lane: object, batch: list[Transferring], room: int) -> int:
        """Take what can go, and return how many orders more the batch has room for; a bundle may exceed it."""
        for message in actor.mailbox.first(room):
            if not message.can_go(lane):
                if message.overtaken(actor) >= self._overtake_max:
                    break
                continue
            message.take()
            message.leave()
            batch.append(message)
            for side in message.actors:
                side.served += 1
                if side.holder is None:
                    side.lease(lane)
            room -= message.weight
            if room <= 0:
                break
        return room

    def _release(self, lane: object, batch: list[Transferring]) -> None:
        for message in batch:
            for actor in message.actors:
                if actor.holder is not lane:
                    continue
                actor.release(lane)
                if actor.mailbox:
                    self._ready[actor] = None
                else:
                    self._registry.rest(actor)
        if self._ready or self._closed:
            self._lanes.unpark_all()
