"""Settlement of a batch: decides every order in turn on locked balances. Pure, total and deterministic.

The caller holds the accounts' row locks, so what is decided here is what will be true at commit.

Precedence of outcomes, first match wins:

 1. the idempotency key is known: its first outcome again, or `idempotency_key_reused` for another request
 2. `same_account`
 3. `not_found`: the source is not there or not the caller's; then the target is not there
 4. `account_closed`, `account_frozen`: the source, then the target
 5. `currency_mismatch`: either account is not in the order's currency
 6. `insufficient_funds`
 7. `invalid_argument`: the target's (or a settlement account's) balance would not fit 64 bits
 8. posted

A bundle is decided on a copy of what the orders before it came to, which counts only if every one of its orders
is posted. Of one that is undone nothing is written but the record of the refusal that undid it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from domain.errors import Code
from domain.ledger import (
    ACTIVE,
    BALANCE_MAX,
    CLOSED,
    SETTLEMENT,
    Account,
    Bundle,
    BundleOutcome,
    Entry,
    Key,
    Order,
    Outcome,
    Posted,
    Record,
    Refused,
    Transfer,
    Undone,
)


@dataclass(slots=True)
class Settlement:
    """What a batch comes to, and everything that has to be written."""

    outcomes: list[Outcome | BundleOutcome] = field(default_factory=list)
    """One for each order and each bundle, in their order."""
    posted: list[Posted] = field(default_factory=list)
    heads: dict[int, Entry] = field(default_factory=dict)
    """The newest entry of each account that moved."""
    records: dict[Key, Record] = field(default_factory=dict)
    """New idempotency records, of posted and refused orders alike."""

    @property
    def writes(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.posted or self.records)


def settle(
    batch: Iterable[Order | Bundle],
    accounts: Mapping[int, Account],
    known: Mapping[Key, Record],
    now: datetime,
    ids: Iterator[int],
) -> Settlement:
    """Decide a batch's orders one after the other on `accounts` as locked; `known` are the keys used before.

    `ids` hands out transfer ids, at least one per order. They are chosen here and not by the database, so that
    after a lost connection one can look whether these very transfers were committed.

    `now` is the clock read after the locks were taken. A whole batch has one time, and no entry is dated before
    its account's newest one, even if that clock was set back.
    """
    at = max([now, *(account.changed_at for account in accounts.values())])
    result = Settlement()
    for each in batch:
        if isinstance(each, Bundle):
            result.outcomes.append(_decide_all(each, accounts, known, at, ids, result))
        else:
            result.outcomes.append(_decide(each, accounts, known, at, ids, result))
    return result


def _decide_all(
    bundle: Bundle,
    accounts: Mapping[int, Account],
    known: Mapping[Key, Record],
    at: datetime,
    ids: Iterator[int],
    result: Settlement,
) -> BundleOutcome:
    trial = Settlement(heads=dict(result.heads), records=dict(result.records))
    outcomes: list[Posted] = []
    for position, order in enumerate(bundle.orders):
        outcome = _decide(order, accounts, known, at, ids, trial)
        if isinstance(outcome, Refused):
            record = order.key and trial.records.get(order.key)
            if order.key and record and record.outcome is outcome:
                result.records[order.key] = record
            return Undone(position, outcome)
        outcomes.append(outcome)
    result.posted += trial.posted
    result.heads, result.records = trial.heads, trial.records
    return tuple(outcomes)


def _decide(
    order: Order,
    accounts: Mapping[int, Account],
    known: Mapping[Key, Record],
    at: datetime,
    ids: Iterator[int],
    result: Settlement,
) -> Outcome:
    key = order.key
    if key is None:
        return _apply(order, accounts, at, ids, result)
    record = known.get(key) or result.records.get(key)
    if record is None:
        outcome = _apply(order, accounts, at, ids, result)
        result.records[key] = Record(order.fingerprint, outcome)
        return outcome
    if record.fingerprint != order.fingerprint:
        return Refused(Code.IDEMPOTENCY_KEY_REUSED)
    return record.outcome._replace(replayed=True)


def _apply(
    order: Order, accounts: Mapping[int, Account], at: datetime, ids: Iterator[int], result: Settlement
) -> Outcome:
    if order.from_account_id == order.to_account_id:
        return Refused(Code.SAME_ACCOUNT)
    source = accounts.get(order.from_account_id)
    target = accounts.get(order.to_account_id)
    if source is None or target is None or (order.owner is not None and source.owner != order.owner):
        return Refused(Code.NOT_FOUND)
    if order.owner is not None and target.kind == SETTLEMENT:
        return Refused(Code.NOT_FOUND)
    if source.status != ACTIVE or target.status != ACTIVE:
        return Refused(_why_inactive(source if source.status != ACTIVE else target))
    if source.currency != order.currency or target.currency != order.currency:
        return Refused(Code.CURRENCY_MISMATCH)
    heads = result.heads
    source_head, target_head = heads.get(source.id), heads.get(target.id)
    from_balance = source_head.balance_after if source_head else source.balance
    to_balance = target_head.balance_after if target_head else target.balance
    from_after, to_after = from_balance - order.amount, to_balance + order.amount
    if from_after < -source.overdraft_limit and source.kind != SETTLEMENT:
        return Refused(Code.INSUFFICIENT_FUNDS)
    if to_after > BALANCE_MAX or from_after < -BALANCE_MAX:
        return Refused(Code.INVALID_ARGUMENT)
    from_seq = (source_head.seq if source_head else source.seq) + 1
    to_seq = (target_head.seq if target_head else target.seq) + 1
    transfer_id = next(ids)
    transfer = Transfer(
        transfer_id,
        source.id,
        from_seq,
        target.id,
        to_seq,
        order.amount,
        order.currency,
        order.requested_by,
        at,
    )
    heads[source.id] = debit = Entry(source.id, from_seq, transfer_id, -order.amount, from_after, at)
    heads[target.id] = credit = Entry(target.id, to_seq, transfer_id, order.amount, to_after, at)
    posted = Posted(transfer, source, target, debit, credit)
    result.posted.append(posted)
    return posted


def _why_inactive(account: Account) -> Code:
    return Code.ACCOUNT_CLOSED if account.status == CLOSED else Code.ACCOUNT_FROZEN
