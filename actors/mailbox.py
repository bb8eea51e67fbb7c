"""Bounded first-in-first-out mailboxes. A full one refuses at once and never waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import trio

from actors.message import Message
from domain.errors import Overloaded

M = TypeVar("M", bound=Message[Any, Any])


@dataclass(frozen=True, slots=True)
class MailboxStatistics:
    """What waits now, and what came in and was refused since the start."""

    waiting: int
    capacity: int
    received: int
    refused: int


class Mailbox(Generic[M]):
    """Holds messages in order of arrival; any of them can leave at the cost of a dictionary look-up."""

    __slots__ = ("_arrival", "_messages", "capacity", "received", "refused")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.received = 0
        self.refused = 0
        self._messages: dict[M, None] = {}
        self._arrival: trio.lowlevel.ParkingLot | None = None

    def __len__(self) -> int:
        return len(self._messages)

    def first(self, count: int) -> Iterator[M]:
        """The oldest messages, `count` at most; they stay until removed."""
        return iter(tuple(islice(self._messages, count)))

    def put(self, message: M) -> None:
        """Append; raises Overloaded when full."""
        self.check_room()
        self.received += 1
        self._messages[message] = None
        if self._arrival is not None:
            self._arrival.unpark()

    def check_room(self) -> None:
        """Raise Overloaded when full."""
        if len(self._messages) >= self.capacity:
            self.refused += 1
            raise Overloaded("too many requests are waiting for this")

    def remove(self, message: M) -> None:
        """Take one message out, wherever it stands."""
        del self._messages[message]

    async def get(self) -> M:
        """Wait for the oldest message and take it out."""
        await trio.lowlevel.checkpoint()
        if self._arrival is None:
            self._arrival = trio.lowlevel.ParkingLot()
        while not self._messages:
            await self._arrival.park()
        message = next(iter(self._messages))
        del self._messages[message]
        return message

    def statistics(self) -> MailboxStatistics:
        """A snapshot."""
        return MailboxStatistics(len(self._messages), self.capacity, self.received, self.refused)
