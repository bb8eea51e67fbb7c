"""Whatever is ordered, a settlement keeps the ledger's invariants."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from domain.ledger import ACTIVE, CLOSED, FROZEN, Account, Bundle, Key, Order, Posted, Undone
from domain.settle import settle

NOW = datetime(2026, 1, 2, tzinfo=UTC)
IDS = range(1, 6)


@st.composite
def ledgers(draw):
    return {
        id_: Account(
            id_,
            draw(st.sampled_from(["alice", "bob"])),
            "",
            draw(st.sampled_from(["USD", "USD", "EUR"])),
            "customer",
            draw(st.integers(0, 100)),
            draw(st.sampled_from([0, 0, 20])),
            draw(st.sampled_from([ACTIVE, ACTIVE, ACTIVE, FROZEN, CLOSED])),
            draw(st.integers(0, 9)),
            NOW,
            NOW,
        )
        for id_ in IDS
    }


@st.composite
def orders(draw):
    key = draw(st.none() | st.sampled_from("xyz"))
    fields = (
        draw(st.integers(0, 6)),
        draw(st.integers(0, 6)),
        draw(st.integers(1, 80)),
        draw(st.sampled_from(["USD", "EUR"])),
    )
    owner = draw(st.sampled_from(["alice", "bob", None]))
    return Order(*fields, "alice", owner, key and Key("alice", key), repr((fields, owner)).encode())


def bundles():
    return st.lists(orders(), min_size=1, max_size=4).map(lambda each: Bundle(tuple(each)))


@given(ledgers(), st.lists(orders() | bundles(), max_size=30))
def test_settlement_conserves_money_and_numbers_entries_without_gaps(accounts, batch):
    settlement = settle(batch, accounts, {}, NOW, count(1))
    assert len(settlement.outcomes) == len(batch)
    balance = {id_: account.balance for id_, account in accounts.items()}
    seq = {id_: account.seq for id_, account in accounts.items()}
    for posted in settlement.posted:
        assert posted.debit.amount == -posted.credit.amount == -posted.transfer.amount
        assert accounts[posted.debit.account_id].currency == accounts[posted.credit.account_id].currency
        for entry in (posted.debit, posted.credit):
            balance[entry.account_id] += entry.amount
            seq[entry.account_id] += 1
            assert (entry.balance_after, entry.seq) == (balance[entry.account_id], seq[entry.account_id])
        assert balance[posted.debit.account_id] >= -accounts[posted.debit.account_id].overdraft_limit
    for id_, head in settlement.heads.items():
        assert (head.balance_after, head.seq) == (balance[id_], seq[id_])


@given(ledgers(), st.lists(orders(), max_size=30))
def test_settlement_moves_money_once_per_key(accounts, batch):
    settlement = settle(batch, accounts, {}, NOW, count(1))
    moved = [
        order.key
        for order, outcome in zip(batch, settlement.outcomes, strict=True)
        if order.key and isinstance(outcome, Posted) and not outcome.replayed
    ]
    assert len(moved) == len(set(moved))


@given(ledgers(), st.lists(orders() | bundles(), max_size=20))
def test_an_undone_bundle_is_as_one_that_never_was_but_for_its_key(accounts, batch):
    settlement = settle(batch, accounts, {}, NOW, count(1))
    for each, outcome in zip(batch, settlement.outcomes, strict=True):
        if isinstance(each, Bundle) and not isinstance(outcome, Undone):
            assert all(isinstance(posted, Posted) for posted in outcome)
            assert len(outcome) == len(each.orders)
    if not any(order.key for each in batch for order in each.orders):
        kept = [
            each
            for each, outcome in zip(batch, settlement.outcomes, strict=True)
            if not isinstance(outcome, Undone)
        ]
        without = settle(kept, accounts, {}, NOW, count(1))
        assert [(each.debit[3:5], each.credit[3:5]) for each in without.posted] == [
            (each.debit[3:5], each.credit[3:5]) for each in settlement.posted
        ]


@given(ledgers(), st.lists(orders(), max_size=30))
def test_settlement_answers_the_same_when_repeated_with_its_own_records(accounts, batch):
    keyed = [order for order in batch if order.key]
    first = settle(keyed, accounts, {}, NOW, count(1))
    again = settle(keyed, accounts, first.records, NOW, count(1000))
    assert not again.writes
    assert [outcome._replace(replayed=False) for outcome in again.outcomes] == [
        outcome._replace(replayed=False) for outcome in first.outcomes
    ]
