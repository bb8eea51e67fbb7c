"""The judge finds everything that can be wrong, and finds nothing wrong with what is right."""

from __future__ import annotations

import random

import pytest

from cli.drill.books import Books, Moved
from cli.drill.cycles import cycle
from cli.drill.history import POSTED, UNKNOWN, Attempt, Balance, History, Line, Page, Request
from cli.drill.judge import judge

A, B, C = 1, 2, 3


class World:
    """A ledger that does as it is told, one thing a second, and the history of its only client."""

    def __init__(self) -> None:
        self.books = Books(balances=dict.fromkeys((A, B, C), 0))
        self.history = History()
        self.now = 0.0

    def move(self, source: int, target: int, amount: int) -> Request:
        number = len(self.books.transfers) + 1
        self.books.transfers[number] = Moved(source, target, amount)
        for account, signed in ((source, -amount), (target, amount)):
            self.books.balances[account] += signed
            lines = self.books.entries[account]
            lines.append(Line(len(lines) + 1, number, signed, self.books.balances[account]))
        began, ended = self.second()
        line = self.books.entries[source][-1]
        request = Request(
            f"key-{number}", source, target, amount, began, ended, POSTED, number, line.seq, line.balance_after
        )
        self.history.requests.append(request)
        return request

    def read(self, account: int) -> None:
        began, ended = self.second()
        self.history.balances.append(Balance(account, began, ended, self.books.balances[account]))
        newest = tuple(reversed(self.books.entries[account][-100:]))
        self.history.pages.append(Page(account, began, ended, newest))

    def second(self) -> tuple[float, float]:
        self.now += 1
        return self.now, self.now + 0.9

    def broken(self) -> list[str]:
        return [verdict.promise for verdict in judge(self.history, self.books) if not verdict.kept]


@pytest.fixture
def world() -> World:
    world = World()
    for source, target, amount in [(A, B, 100), (B, C, 30), (A, C, 7), (C, A, 5)]:
        world.move(source, target, amount)
        for account in (A, B, C):
            world.read(account)
    return world


BALANCE = "the books balance"
THERE = "what was acknowledged is there"
DEFINITE = "every key has a definite answer in the end"
ONCE = "no key moved money twice"
BALANCES = "every balance that was read was one"
PAGES = "every page of entries was the newest or newer"
ORDER = "there is one order in which all of it happened"


def test_nothing_is_found_wrong_with_what_is_right(world):
    assert world.broken() == []
    assert len({verdict.promise for verdict in judge(world.history, world.books)}) == 8


@pytest.mark.parametrize("seed", range(20))
def test_whatever_one_client_does_in_turn_is_right(seed):
    rng, world = random.Random(seed), World()
    for _ in range(200):
        if rng.random() < 0.7:
            world.move(*rng.sample((A, B, C), 2), rng.randint(1, 3))
        else:
            world.read(rng.choice((A, B, C)))
    assert world.broken() == []


def test_an_answer_that_tells_of_a_defect_is_seen(world):
    world.history.attempts.append(Attempt(1.0, 2.0, "HTTP", "internal", answered=True))
    assert world.broken() == ["no answer was `internal`"]


def test_a_lost_transfer_is_seen(world):
    lost = world.move(A, B, 3)
    del world.books.transfers[lost.transfer_id]
    for account in (A, B):
        world.books.balances[account] -= world.books.entries[account].pop().amount
    assert world.broken() == [THERE]


def test_an_entry_that_is_gone_is_seen(world):
    world.books.entries[B].pop()
    assert BALANCE in world.broken()


def test_an_entry_in_the_middle_that_is_gone_is_seen(world):
    del world.books.entries[C][1]
    assert BALANCE in world.broken()


def test_an_entry_that_was_changed_is_seen(world):
    line = world.books.entries[B][0]
    world.books.entries[B][0] = line._replace(amount=line.amount + 1)
    assert BALANCE in world.broken()


def test_a_balance_beside_its_entries_is_seen(world):
    world.books.balances[C] += 1
    assert world.broken() == [BALANCE]


def test_a_transfer_acknowledged_as_another_is_seen(world):
    world.history.requests[0].amount += 1
    assert world.broken() == [THERE]


def test_an_entry_acknowledged_otherwise_is_seen(world):
    world.history.requests[0].balance_after = 1
    assert world.broken() == [THERE]


def test_a_key_without_an_answer_is_seen(world):
    world.history.requests.append(Request("late", A, B, 1, 1.0))
    assert world.broken() == [DEFINITE]


def test_money_that_moved_twice_is_seen(world):
    world.move(A, B, 9)
    world.history.requests.pop()
    assert ONCE in world.broken()


def test_a_transfer_that_answers_two_keys_is_seen(world):
    world.history.requests[1].transfer_id = world.history.requests[0].transfer_id
    assert ONCE in world.broken()


def test_a_refusal_that_moved_money_is_seen(world):
    refused = world.move(A, B, 9)
    refused.outcome, refused.transfer_id = "insufficient_funds", None
    assert world.broken() == [ONCE]


def test_a_balance_that_never_was_is_seen(world):
    began, ended = world.second()
    world.history.balances.append(Balance(A, began, ended, 12_345))
    assert world.broken() == [BALANCES]


def test_a_balance_of_before_the_last_acknowledgement_is_seen(world):
    old = world.books.balances[A]
    world.move(A, B, 9)
    began, ended = world.second()
    world.history.balances.append(Balance(A, began, ended, old))
    assert world.broken() == [BALANCES]


def test_a_balance_from_the_future_is_seen(world):
    began, ended = world.second()
    world.move(A, B, 9)
    world.history.balances.append(Balance(A, began, ended, world.books.balances[A]))
    assert world.broken() == [BALANCES]


def test_a_balance_read_while_money_moved_may_be_either(world):
    before = world.books.balances[A]
    moved = world.move(A, B, 9)
    for balance in (before, world.books.balances[A]):
        world.history.balances.append(Balance(A, moved.began_s + 0.1, moved.ended_s - 0.1, balance))
    assert world.broken() == []


def test_a_stale_page_is_seen(world):
    old = world.history.pages[-3]
    assert old.account == A
    world.move(A, B, 9)
    began, ended = world.second()
    world.history.pages.append(Page(A, began, ended, old.entries))
    assert PAGES in world.broken()


def test_a_page_with_other_entries_is_seen(world):
    page = world.history.pages[-1]
    changed = (page.entries[0]._replace(transfer_id=1), *page.entries[1:])
    world.history.pages.append(Page(page.account, page.began_s, page.ended_s, changed))
    assert world.broken() == [PAGES]


def test_two_readers_who_saw_two_transfers_in_different_orders_are_seen(world):
    first, second = world.move(A, B, 1), world.move(C, A, 2)
    first.began_s = second.began_s
    first.ended_s = second.ended_s = world.now + 10
    # The one saw B after the first and A before both; the other C after the second and A without the first.
    lines = world.books.entries
    world.books.entries[A][-2:] = [
        Line(lines[A][-2].seq, second.transfer_id, 2, lines[A][-3].balance_after + 2),
        Line(lines[A][-1].seq, first.transfer_id, -1, lines[A][-3].balance_after + 1),
    ]
    first.seq, first.balance_after = lines[A][-1].seq, lines[A][-1].balance_after
    during = world.now + 1, world.now + 9
    world.history.pages.append(Page(B, *during, tuple(reversed(lines[B]))))
    world.history.pages.append(Page(C, *(time + 8.5 for time in during), tuple(reversed(lines[C][:-1]))))
    assert ORDER in world.broken()


def test_what_ended_before_something_began_precedes_it():
    intervals = [("a", 0.0, 1.0), ("b", 2.0, 3.0), ("c", 4.0, 5.0)]
    assert cycle([], intervals) is None
    assert cycle([("a", "b"), ("b", "c"), ("a", "c")], intervals) is None
    assert set(cycle([("c", "a")], intervals)) <= {"a", "b", "c"}
    assert {"a", "c"} <= set(cycle([("c", "a")], intervals))


def test_what_was_going_on_together_may_be_in_any_order():
    intervals = [("a", 0.0, 2.0), ("b", 1.0, 3.0), ("c", 0.5, float("inf"))]
    assert cycle([("b", "a"), ("c", "b")], intervals) is None
    assert cycle([("b", "a"), ("a", "b")], intervals) is not None


def test_an_unknown_outcome_ends_at_no_time():
    assert Request("k", A, B, 1, 0.0).outcome == UNKNOWN
    assert cycle([("later", "open")], [("open", 0.0, float("inf")), ("later", 5.0, 6.0)]) is None
