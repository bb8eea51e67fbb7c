"""`domain.settle`: each outcome, their precedence, and what is written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from domain.errors import Code
from domain.ledger import BALANCE_MAX, Account, Bundle, Key, Order, Posted, Record, Refused, Undone
from domain.settle import Settlement, settle

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EARLIER = NOW - timedelta(days=1)


def account(id_: int, **changes) -> Account:
    plain = Account(id_, "alice", "", "USD", "customer", 100, 0, "active", 3, EARLIER, EARLIER)
    return plain._replace(**changes)


def order(source: int = 1, target: int = 2, amount: int = 10, **changes) -> Order:
    return Order(source, target, amount, "USD", "alice", "alice")._replace(**changes)


def decide(orders, accounts, known=None, now=NOW) -> Settlement:
    return settle(orders, {each.id: each for each in accounts}, known or {}, now, count(1000))


def only_outcome(settlement: Settlement):
    (outcome,) = settlement.outcomes
    return outcome


def test_settle_posts_two_entries_that_continue_both_histories():
    posted = only_outcome(decide([order()], [account(1), account(2, owner="bob", seq=7, balance=5)]))
    assert isinstance(posted, Posted)
    assert posted.debit[:5] == (1, 4, 1000, -10, 90)
    assert posted.credit[:5] == (2, 8, 1000, 10, 15)
    assert posted.transfer[:8] == (1000, 1, 4, 2, 8, 10, "USD", "alice")
    assert posted.from_account.balance == 90
    assert posted.to_account.balance == 15


def test_settle_sees_what_earlier_orders_of_the_batch_did():
    settlement = decide([order(amount=60), order(amount=60)], [account(1), account(2)])
    first, second = settlement.outcomes
    assert isinstance(first, Posted)
    assert second == Refused(Code.INSUFFICIENT_FUNDS)
    assert settlement.heads[1].balance_after == 40


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ({"owner": "bob", "status": "closed"}, {}, Code.NOT_FOUND),
        ({"status": "closed", "currency": "EUR"}, {"status": "frozen"}, Code.ACCOUNT_CLOSED),
        ({"status": "frozen"}, {"status": "closed"}, Code.ACCOUNT_FROZEN),
        ({}, {"status": "closed", "currency": "EUR"}, Code.ACCOUNT_CLOSED),
        ({"balance": 0}, {"currency": "EUR"}, Code.CURRENCY_MISMATCH),
        ({"currency": "EUR"}, {}, Code.CURRENCY_MISMATCH),
        ({"balance": 9}, {"balance": BALANCE_MAX}, Code.INSUFFICIENT_FUNDS),
        ({}, {"balance": BALANCE_MAX - 9}, Code.INVALID_ARGUMENT),
        ({}, {"kind": "settlement", "owner": None}, Code.NOT_FOUND),
    ],
)
def test_settle_refuses_in_the_documented_precedence(source, target, expected):
    settlement = decide([order()], [account(1, **source), account(2, **target)])
    assert only_outcome(settlement) == Refused(expected)
    assert not settlement.writes


def test_settle_refuses_missing_accounts_and_equal_sides():
    assert only_outcome(decide([order(1, 9)], [account(1)])) == Refused(Code.NOT_FOUND)
    assert only_outcome(decide([order(9, 1)], [account(1)])) == Refused(Code.NOT_FOUND)
    assert only_outcome(decide([order(9, 9)], [])) == Refused(Code.SAME_ACCOUNT)


def test_settle_allows_the_overdraft_and_no_more():
    accounts = [account(1, balance=0, overdraft_limit=10), account(2)]
    posted, refused = decide([order(amount=10), order(amount=1)], accounts).outcomes
    assert isinstance(posted, Posted)
    assert refused == Refused(Code.INSUFFICIENT_FUNDS)


def test_settle_lets_a_settlement_account_go_below_zero_for_the_bank_only():
    settlement_account = account(1, owner=None, kind="settlement", balance=0)
    by_bank = order(owner=None, requested_by="banker")
    assert isinstance(only_outcome(decide([by_bank], [settlement_account, account(2)])), Posted)
    assert only_outcome(decide([order()], [settlement_account, account(2)])) == Refused(Code.NOT_FOUND)


def test_settle_never_dates_an_entry_before_its_account():
    ahead = NOW + timedelta(seconds=5)
    posted = only_outcome(decide([order()], [account(1), account(2, changed_at=ahead)]))
    assert isinstance(posted, Posted)
    assert posted.transfer.created_at == ahead


def test_settle_replays_a_key_within_the_batch_and_from_before():
    keyed = order(key=Key("alice", "k"), fingerprint=b"f")
    settlement = decide([keyed, keyed], [account(1), account(2)])
    first, second = settlement.outcomes
    assert second == first._replace(replayed=True)
    assert len(settlement.posted) == 1

    later = decide([keyed], [account(1), account(2)], known=settlement.records)
    assert only_outcome(later) == first._replace(replayed=True)
    assert not later.writes


def test_settle_replays_refusals_too():
    keyed = order(amount=500, key=Key("alice", "k"), fingerprint=b"f")
    settlement = decide([keyed], [account(1), account(2)])
    assert settlement.records == {keyed.key: Record(b"f", Refused(Code.INSUFFICIENT_FUNDS))}
    richer = decide([keyed], [account(1, balance=1000), account(2)], known=settlement.records)
    assert only_outcome(richer) == Refused(Code.INSUFFICIENT_FUNDS, replayed=True)


def test_settle_refuses_a_key_with_another_request():
    keyed = order(key=Key("alice", "k"), fingerprint=b"f")
    other = keyed._replace(amount=11, fingerprint=b"g")
    _, outcome = decide([keyed, other], [account(1), account(2)]).outcomes
    assert outcome == Refused(Code.IDEMPOTENCY_KEY_REUSED)


def test_a_bundle_posts_all_of_its_orders_and_later_ones_see_them():
    settlement = decide(
        [Bundle((order(amount=60), order(source=2, target=1, amount=5))), order(amount=45), order(amount=1)],
        [account(1), account(2, balance=0)],
    )
    bundle, single, broke = settlement.outcomes
    assert [each.debit.balance_after for each in bundle] == [40, 55]
    assert single.debit.balance_after == 0
    assert broke == Refused(Code.INSUFFICIENT_FUNDS)
    assert len(settlement.posted) == 3


def test_an_undone_bundle_writes_nothing_but_the_record_of_what_undid_it():
    keys = [Key("alice", each) for each in "abc"]
    orders = (
        order(amount=60, key=keys[0], fingerprint=b"a"),
        order(amount=60, key=keys[1], fingerprint=b"b"),
        order(amount=1, key=keys[2], fingerprint=b"c"),
    )
    settlement = decide([Bundle(orders), order(amount=100)], [account(1), account(2)])
    undone, after = settlement.outcomes
    assert undone == Undone(1, Refused(Code.INSUFFICIENT_FUNDS))
    assert after.debit.balance_after == 0
    assert settlement.records == {keys[1]: Record(b"b", Refused(Code.INSUFFICIENT_FUNDS))}
    again = decide([Bundle(orders)], [account(1), account(2)], known=settlement.records)
    assert only_outcome(again) == Undone(1, Refused(Code.INSUFFICIENT_FUNDS, replayed=True))
    assert not again.writes


def test_a_key_that_an_undone_bundle_used_twice_is_not_remembered_as_used():
    key = Key("alice", "k")
    orders = (order(key=key, fingerprint=b"a"), order(amount=11, key=key, fingerprint=b"b"))
    settlement = decide([Bundle(orders)], [account(1), account(2)])
    assert only_outcome(settlement) == Undone(1, Refused(Code.IDEMPOTENCY_KEY_REUSED))
    assert not settlement.writes


def test_a_bundle_repeated_with_its_keys_moves_nothing_again():
    orders = tuple(order(amount=n, key=Key("alice", str(n)), fingerprint=b"%d" % n) for n in (1, 2, 3))
    first = decide([Bundle(orders)], [account(1), account(2)])
    again = decide([Bundle(orders)], [account(1), account(2)], known=first.records)
    assert not again.writes
    assert [each.replayed for each in only_outcome(again)] == [True] * 3
