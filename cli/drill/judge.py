"""The judge of a drill: clients' history against the books. It knows nothing of how the service is made.

Each promise is one function that returns the first thing that breaks it, or None; `judge` asks them all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from itertools import accumulate, pairwise
from typing import NamedTuple

from cli.drill.books import Books, Moved
from cli.drill.cycles import cycle
from cli.drill.history import POSTED, UNKNOWN, History, Page, Request
from domain.errors import Code


class Verdict(NamedTuple):
    """One promise, whether it was kept, and what shows it; `kept` is None where it could not be shown here."""

    promise: str
    kept: bool | None
    detail: str


def judge(history: History, books: Books) -> list[Verdict]:
    """All promises about the ledger, in the order of docs/reliability.md."""
    asked = _Asked(history, books)
    verdicts = []
    for promise, breach, measure in PROMISES:
        broken_by = breach(asked)
        verdicts.append(Verdict(promise, broken_by is None, broken_by or measure(asked)))
    return verdicts


class _Asked:
    """The history and the books, indexed once for all promises."""

    def __init__(self, history: History, books: Books) -> None:
        self.history = history
        self.books = books
        self.posted = [each for each in history.requests if each.outcome == POSTED]
        self.by_id: dict[int, Request] = {}
        for each in self.posted:
            assert each.transfer_id is not None
            self.by_id.setdefault(each.transfer_id, each)
        self.sums = {
            account: [0, *accumulate(line.amount for line in books.entries[account])]
            for account in books.balances
        }
        self._bounds = {account: _Bounds(self, account) for account in books.balances}

    def bounds(self, account: int, began_s: float, ended_s: float) -> tuple[int, int]:
        """The fewest and the most entries that a read in this time may have seen."""
        return self._bounds[account].of(began_s, ended_s)


class _Bounds:
    """What a read must have seen, since it was acknowledged before, and can not have, since nobody had asked yet."""

    def __init__(self, asked: _Asked, account: int) -> None:
        acknowledged: list[tuple[float, int]] = []
        earliest: list[float] = []
        for line in asked.books.entries[account]:
            request = asked.by_id.get(line.transfer_id)
            acknowledged.append((request.ended_s if request else float("inf"), line.seq))
            earliest.append(request.began_s if request else float("-inf"))
        acknowledged.sort()
        self._times = [time for time, _ in acknowledged]
        self._seen = list(accumulate((seq for _, seq in acknowledged), max))
        # An entry can not be there before its own request, nor before any that precedes it in the account.
        self._earliest = list(accumulate(earliest, max))

    def of(self, began_s: float, ended_s: float) -> tuple[int, int]:
        before = bisect_left(self._times, began_s)
        return self._seen[before - 1] if before else 0, bisect_left(self._earliest, ended_s)


def _defect(asked: _Asked) -> str | None:
    defects = [each for each in asked.history.attempts if each.outcome == Code.INTERNAL]
    return f"{len(defects)} answers were `internal`" if defects else None


def _books_that_do_not_balance(asked: _Asked) -> str | None:
    books = asked.books
    for account, balance in books.balances.items():
        running = 0
        for number, line in enumerate(books.entries[account], 1):
            running += line.amount
            if (line.seq, line.balance_after) != (number, running):
                return f"account {account}: entry {line.seq} does not continue the one before"
        if running != balance:
            return f"account {account}: balance {balance}, its entries sum to {running}"
    sides: dict[int, dict[int, int]] = defaultdict(dict)
    for account, lines in books.entries.items():
        for line in lines:
            if account in sides[line.transfer_id]:
                return f"transfer {line.transfer_id} has two entries in account {account}"
            sides[line.transfer_id][account] = line.amount
    for transfer_id, moved in books.transfers.items():
        expected = {moved.source: -moved.amount, moved.target: moved.amount}
        ours = {account: amount for account, amount in expected.items() if account in books.balances}
        if sides.pop(transfer_id, {}) != ours:
            return f"transfer {transfer_id} lacks an entry or has a wrong one"
    return next((f"an entry of transfer {transfer_id}, which is not there" for transfer_id in sides), None)


def _acknowledged_and_not_there(asked: _Asked) -> str | None:
    for each in asked.posted:
        assert each.transfer_id is not None
        moved = asked.books.transfers.get(each.transfer_id)
        if moved is None:
            return f"transfer {each.transfer_id} was acknowledged and is not there"
        if moved != Moved(each.source, each.target, each.amount):
            return f"transfer {each.transfer_id} was acknowledged as another: {moved}"
        if each.seq is not None:
            lines = asked.books.entries[each.source]
            line = lines[each.seq - 1] if each.seq <= len(lines) else None
            if line is None or (line.transfer_id, line.balance_after) != (each.transfer_id, each.balance_after):
                return f"entry {each.seq} of account {each.source} is not as it was acknowledged"
    return None


def _unresolved(asked: _Asked) -> str | None:
    return next(
        (
            f"key {each.key} has no definite answer"
            for each in asked.history.requests
            if each.outcome == UNKNOWN
        ),
        None,
    )


def _moved_twice(asked: _Asked) -> str | None:
    for each in asked.posted:
        assert each.transfer_id is not None
        if asked.by_id[each.transfer_id] is not each:
            return f"transfer {each.transfer_id} answers two keys"
    extra = asked.books.transfers.keys() - asked.by_id.keys()
    if extra:
        return f"transfer {min(extra)} answers no key: {asked.books.transfers[min(extra)]}"
    return None


def _balance_that_never_was(asked: _Asked) -> str | None:
    for each in asked.history.balances:
        fewest, most = asked.bounds(each.account, each.began_s, each.ended_s)
        if each.amount not in asked.sums[each.account][fewest : most + 1]:
            return (
                f"account {each.account} was said to have {each.amount}, "
                f"which it had after none of its entries {fewest} to {most}"
            )
    return None


def _page_that_never_was(asked: _Asked) -> str | None:
    for each in asked.history.pages:
        fewest, most = asked.bounds(each.account, each.began_s, each.ended_s)
        if not fewest <= each.count <= most:
            return f"account {each.account} was said to have {each.count} entries: {fewest} to {most} were due"
        lines = asked.books.entries[each.account]
        first = each.count - len(each.entries)
        if tuple(reversed(each.entries)) != tuple(lines[first : each.count]):
            return f"account {each.account}: its entries up to {each.count} were read otherwise"
    return None


def _order_that_can_not_be(asked: _Asked) -> str | None:
    """As Elle's list-append: an account's entries are a list that is only appended to."""
    found = cycle(_precedences(asked), _intervals(asked))
    return None if found is None else "each before the next: " + ", ".join(map(str, found))


def _precedences(asked: _Asked) -> Iterator[tuple[Hashable, Hashable]]:
    seen: dict[int, dict[int, list[Page]]] = defaultdict(lambda: defaultdict(list))
    for page in asked.history.pages:
        seen[page.account][page.count].append(page)
    for account, lines in asked.books.entries.items():
        transfers = [_node(asked.by_id.get(line.transfer_id, line.transfer_id)) for line in lines]
        yield from pairwise(transfers)
        for count, pages in seen[account].items():
            for page in pages:
                if 0 < count <= len(transfers):
                    yield transfers[count - 1], _node(page)
                if count < len(transfers):
                    yield _node(page), transfers[count]


def _intervals(asked: _Asked) -> Iterator[tuple[Hashable, float, float]]:
    things: list[Request | Page] = [*asked.posted, *asked.history.pages]
    return ((_node(each), each.began_s, each.ended_s) for each in things)


def _node(of: Request | Page | int) -> Hashable:
    if isinstance(of, Request):
        return f"key {of.key}"
    if isinstance(of, Page):
        return f"a read of account {of.account} at {of.ended_s:.6f} s up to entry {of.count}"
    return f"transfer {of}"


def _count(what: str, of: Callable[[_Asked], int]) -> Callable[[_Asked], str]:
    return lambda asked: f"{of(asked):,} {what}"


PROMISES: list[tuple[str, Callable[[_Asked], str | None], Callable[[_Asked], str]]] = [
    ("no answer was `internal`", _defect, _count("attempts", lambda asked: len(asked.history.attempts))),
    (
        "the books balance",
        _books_that_do_not_balance,
        _count("entries", lambda asked: sum(map(len, asked.books.entries.values()))),
    ),
    (
        "what was acknowledged is there",
        _acknowledged_and_not_there,
        _count("transfers", lambda a: len(a.posted)),
    ),
    (
        "every key has a definite answer in the end",
        _unresolved,
        _count("keys", lambda asked: len(asked.history.requests)),
    ),
    ("no key moved money twice", _moved_twice, _count("transfers", lambda asked: len(asked.books.transfers))),
    (
        "every balance that was read was one",
        _balance_that_never_was,
        _count("balances", lambda asked: len(asked.history.balances)),
    ),
    (
        "every page of entries was the newest or newer",
        _page_that_never_was,
        _count("pages", lambda asked: len(asked.history.pages)),
    ),
    (
        "there is one order in which all of it happened",
        _order_that_can_not_be,
        _count("transfers and reads", lambda a: len(a.posted) + len(a.history.pages)),
    ),
]
