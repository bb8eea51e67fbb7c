"""The ledger as it stands in PostgreSQL when a drill is over: what the judge holds the history against."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from cli.drill.history import Line
from persistence.connection import Connection, open_connection
from persistence.faults import translated


class Moved(NamedTuple):
    """A transfer that is there."""

    source: int
    target: int
    amount: int


@dataclass(slots=True)
class Books:
    """Some accounts, their entries in order of `seq`, and every transfer from or to them."""

    balances: dict[int, int] = field(default_factory=dict)
    entries: dict[int, list[Line]] = field(default_factory=lambda: defaultdict(list))
    transfers: dict[int, Moved] = field(default_factory=dict)


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[Connection]:
    """A session of the drill's own, which is not counted among the service's. Raises DatabaseFault."""
    with translated():
        async with await open_connection(database_url, application_name="drill") as connection:
            yield connection


async def read_books(database_url: str, accounts: Collection[int]) -> Books:
    """In one snapshot. Raises DatabaseFault."""
    books, ids = Books(), sorted(accounts)
    async with connected(database_url) as connection:
        await connection.execute("begin isolation level repeatable read read only")
        found = await connection.execute("select id, balance from accounts where id = any(%s)", [ids])
        books.balances = dict(await found.fetchall())
        found = await connection.execute(
            "select account_id, seq, transfer_id, amount, balance_after from entries"
            " where account_id = any(%s) order by account_id, seq",
            [ids],
        )
        for account, *line in await found.fetchall():
            books.entries[account].append(Line(*line))
        found = await connection.execute(
            "select id, from_account_id, to_account_id, amount from transfers"
            " where from_account_id = any(%s) or to_account_id = any(%s)",
            [ids, ids],
        )
        for transfer_id, *moved in await found.fetchall():
            books.transfers[transfer_id] = Moved(*moved)
        await connection.execute("commit")
    return books
