"""Ledger rows written by hand, as the service writes them."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg

NOW = datetime(2026, 1, 1, tzinfo=UTC)

# One statement, as the service writes: a transfer, its entries, and the balances they leave.
POST = """
with t as (
    insert into transfers (id, from_account_id, from_seq, to_account_id, to_seq, amount, currency, created_by,
                           created_at)
    values (%(id)s, %(a)s, %(a_seq)s, %(b)s, %(b_seq)s, %(amount)s, %(currency)s, 'alice', %(at)s)
), e as (
    insert into entries (account_id, seq, transfer_id, amount, balance_after, created_at)
    values (%(a)s, %(a_seq)s, %(id)s, -%(amount)s, %(a_after)s, %(at)s),
           (%(b)s, %(b_seq)s, %(id)s, %(amount)s, %(b_after)s, %(at)s)
)
update accounts set balance = case id when %(a)s then %(a_after)s else %(b_after)s end,
                    seq = case id when %(a)s then %(a_seq)s else %(b_seq)s end
where id in (%(a)s, %(b)s)
"""


def fill(connection: psycopg.Connection) -> dict[str, int]:
    """A user, two accounts with an overdraft, a settlement account, one transfer of 30."""
    connection.execute(
        "insert into users (username, full_name, email, password_hash) values ('alice', 'A', 'a@b.cd', 'x')"
    )
    ids = [
        connection.execute(
            "insert into accounts (owner, currency, overdraft_limit) values ('alice', 'USD', 100) returning id"
        ).fetchone()[0]
        for _ in range(2)
    ]
    connection.execute("insert into accounts (currency, kind) values ('USD', 'settlement')")
    values = {"id": 1, "a": ids[0], "b": ids[1], "a_seq": 1, "b_seq": 1, "amount": 30, "currency": "USD"}
    values |= {"a_after": -30, "b_after": 30, "at": NOW}
    connection.execute(POST, values)
    return {"a": ids[0], "b": ids[1]}


def second(accounts: dict[str, int], **changes) -> dict[str, object]:
    """The parameters of a second, correct transfer of 10, changed."""
    values = {"id": 2, "a_seq": 2, "b_seq": 2, "amount": 10, "currency": "USD"}
    values |= {"a_after": -40, "b_after": 40, "at": NOW}
    return {**accounts, **values, **changes}
