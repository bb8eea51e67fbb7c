"""The ledger's values: accounts, transfers, entries, and what becomes of an order to move money.

Amounts and balances are integer minor units. Named tuples, because a busy service makes tens of thousands of
these a second.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from domain.errors import Code

AMOUNT_MAX = 2**53 - 1
"""The largest amount of one transfer: what every JSON reader holds exactly."""
BALANCE_MAX = 2**63 - 1
"""The largest balance, of either sign: PostgreSQL's bigint."""

ACTIVE, FROZEN, CLOSED = "active", "frozen", "closed"
"""Account statuses."""
CUSTOMER, SETTLEMENT = "customer", "settlement"
"""Account kinds: a settlement account is where a currency's deposits come from and withdrawals go to."""
POSTED = "posted"
"""Transfer status."""


class Account(NamedTuple):
    """One account as its row was when it was read. `seq` and `changed_at` are its newest entry's."""

    id: int
    owner: str | None
    name: str
    currency: str
    kind: str
    balance: int
    overdraft_limit: int
    status: str
    seq: int
    created_at: datetime
    changed_at: datetime

    @property
    def available_balance(self) -> int:
        """What may leave the account now."""
        return self.balance + self.overdraft_limit


class Transfer(NamedTuple):
    """Money moved: `from_seq` and `to_seq` name its two entries."""

    id: int
    from_account_id: int
    from_seq: int
    to_account_id: int
    to_seq: int
    amount: int
    currency: str
    created_by: str
    created_at: datetime

    @property
    def status(self) -> str:
        """Only posted transfers are recorded."""
        return POSTED


class Entry(NamedTuple):
    """One side of a transfer: `amount` is negative where money left."""

    account_id: int
    seq: int
    transfer_id: int
    amount: int
    balance_after: int
    created_at: datetime


class Key(NamedTuple):
    """An idempotency key, which belongs to the user who sent it."""

    username: str
    key: str


class Order(NamedTuple):
    """A request to move money, authorised as far as it can be without looking at the accounts.

    `owner` is who must own the source, or None where a banker moves settlement money.
    """

    from_account_id: int
    to_account_id: int
    amount: int
    currency: str
    requested_by: str
    owner: str | None
    key: Key | None = None
    fingerprint: bytes = b""

    @property
    def account_ids(self) -> tuple[int, ...]:
        """Both sides, each once; the source first."""
        source, target = self.from_account_id, self.to_account_id
        return (source, target) if source != target else (source,)

    @property
    def orders(self) -> tuple[Order, ...]:
        """Itself."""
        return (self,)


class Bundle(NamedTuple):
    """Orders that are carried out all or none."""

    orders: tuple[Order, ...]

    @property
    def account_ids(self) -> tuple[int, ...]:
        """Both sides of all of them, each once."""
        return tuple(dict.fromkeys(id_ for order in self.orders for id_ in order.account_ids))


class Posted(NamedTuple):
    """The order was carried out. The accounts are as they were locked; the entries say what they became."""

    transfer: Transfer
    source: Account
    target: Account
    debit: Entry
    credit: Entry
    replayed: bool = False

    @property
    def from_account(self) -> Account:
        """The source right after this transfer."""
        return self.source._replace(balance=self.debit.balance_after, seq=self.debit.seq)

    @property
    def to_account(self) -> Account:
        """The target right after this transfer."""
        return self.target._replace(balance=self.credit.balance_after, seq=self.credit.seq)


class Refused(NamedTuple):
    """The bank says no, and why."""

    code: Code
    replayed: bool = False


Outcome = Posted | Refused


class Undone(NamedTuple):
    """None of a bundle was carried out, because of the refusal of the order at this position."""

    position: int
    refusal: Refused


BundleOutcome = tuple[Posted, ...] | Undone


class Record(NamedTuple):
    """What an idempotency key remembers: whose request it was, and what became of it."""

    fingerprint: bytes
    outcome: Outcome
