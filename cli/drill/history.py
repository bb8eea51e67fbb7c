"""What clients asked for and were told, and when: all that the judge knows of how the service behaved.

Times are seconds on the one clock of the drill's process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

POSTED = "posted"
UNKNOWN = "unknown"
"""No definite answer came: the money moved, or it did not."""


class Attempt(NamedTuple):
    """One try at something; `outcome` is POSTED, a code of the service's, or why there was no answer."""

    began_s: float
    ended_s: float
    protocol: str
    outcome: str
    answered: bool


@dataclass(slots=True)
class Request:
    """One transfer under one key, however often it was asked for until the answer was definite."""

    key: str
    source: int
    target: int
    amount: int
    began_s: float
    ended_s: float = math.inf
    outcome: str = UNKNOWN
    transfer_id: int | None = None
    seq: int | None = None
    """Of the source's entry, where the answer has it."""
    balance_after: int | None = None


class Line(NamedTuple):
    """An entry, as a client or the database tells it."""

    seq: int
    transfer_id: int
    amount: int
    balance_after: int


@dataclass(frozen=True, slots=True)
class Page:
    """The newest entries of an account, newest first, as they were read; `count` is how many there are in all."""

    account: int
    began_s: float
    ended_s: float
    entries: tuple[Line, ...]

    @property
    def count(self) -> int:
        """Entries that the account had: they are numbered without gaps."""
        return self.entries[0].seq if self.entries else 0


@dataclass(frozen=True, slots=True)
class Balance:
    """A balance that was read."""

    account: int
    began_s: float
    ended_s: float
    amount: int


@dataclass(slots=True)
class History:
    """Everything, in no particular order."""

    requests: list[Request] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    balances: list[Balance] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    """To which a mail was promised."""

    @property
    def unanswered(self) -> int:
        """Attempts of which nobody learnt what they came to."""
        return sum(not attempt.answered for attempt in self.attempts)
