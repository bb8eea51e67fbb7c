"""An account's actor: its mailbox, its lease, and what it remembers of its account.

It has no task of its own. Work on an account is done by whoever holds its lease, a lane of the coordinator,
and messages that arrive meanwhile wait in the mailbox: serialised like any actor's, without waking a task for
each. What it has seen of its history lets it notice a ledger that went backwards, which is a crash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actors.mailbox import Mailbox, MailboxStatistics
from actors.message import Message
from domain.ledger import Account, Bundle, Entry, Order


class Transferring(Message[Order | Bundle, Any]):
    """An order or a bundle, which waits in the mailboxes of all its accounts and leaves them together.

    `weight` is how many orders it is.
    """

    __slots__ = ("actors", "turns", "weight")

    def __init__(self, body: Order | Bundle, actors: Sequence[AccountActor]) -> None:
        super().__init__(body)
        self.actors = actors
        self.turns = [actor.turn for actor in actors]
        self.weight = len(body.orders)
        for actor in actors:
            actor.mailbox.check_room()
        for actor in actors:
            actor.mailbox.put(self)

    def can_go(self, holder: object) -> bool:
        """Whether each of its accounts is free, or leased to this holder already."""
        for actor in self.actors:  # noqa: SIM110 - `all` takes three times as long, once or twice for each transfer
            if actor.holder is not None and actor.holder is not holder:
                return False
        return True

    def overtaken(self, actor: AccountActor) -> int:
        """How many later arrivals the actor has served before this one; negative while it is not its turn."""
        return actor.served - self.turns[self.actors.index(actor)]

    def leave(self) -> None:
        """Leave all mailboxes."""
        for actor in self.actors:
            actor.mailbox.remove(self)


class LedgerRegressed(Exception):
    """The database shows less of an account's history than was committed, or another balance for it."""


@dataclass(frozen=True, slots=True)
class AccountStatistics:
    """Whether somebody works on the account, how many messages were served, and what waits."""

    account_id: int
    leased: bool
    served: int
    seen_seq: int
    mailbox: MailboxStatistics


class AccountActor:
    """One account. `holder` is who leases it, or None."""

    __slots__ = ("account_id", "holder", "mailbox", "seen_balance", "seen_seq", "served")

    def __init__(self, account_id: int, *, mailbox_max: int) -> None:
        self.account_id = account_id
        self.mailbox: Mailbox[Transferring] = Mailbox(mailbox_max)
        self.holder: object | None = None
        self.served = 0
        self.seen_seq = 0
        self.seen_balance = 0

    @property
    def idle(self) -> bool:
        """Whether nobody would miss it."""
        return self.holder is None and not self.mailbox

    @property
    def turn(self) -> int:
        """How many messages are served before one that arrives now, if none overtakes it."""
        return self.served + len(self.mailbox)

    def lease(self, holder: object) -> None:
        """Give all work on the account to `holder` until `release`."""
        assert self.holder is None
        self.holder = holder

    def release(self, holder: object) -> None:
        """End the lease."""
        assert self.holder is holder
        self.holder = None

    def observe(self, account: Account) -> None:
        """Compare the locked row with what was seen before; raises LedgerRegressed.

        Only growth is lawful: other processes may have added entries, nobody may have taken any away.
        """
        known = self.seen_seq
        if account.seq < known or (account.seq == known > 0 and account.balance != self.seen_balance):
            raise LedgerRegressed(
                f"account {self.account_id}: entry {known} left {self.seen_balance}, "
                f"now entry {account.seq} and {account.balance}"
            )

    def committed(self, head: Entry) -> None:
        """Remember the newest entry this process committed."""
        self.seen_seq = head.seq
        self.seen_balance = head.balance_after

    def statistics(self) -> AccountStatistics:
        """A snapshot."""
        leased = self.holder is not None
        return AccountStatistics(self.account_id, leased, self.served, self.seen_seq, self.mailbox.statistics())
