"""Accounts, transfers and entries, read; and accounts opened. Money is moved by `persistence.ledger` alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from domain.ledger import Account, Entry, Key, Transfer
from persistence.connection import Connection
from persistence.rows import columns

OPEN_ACCOUNT = f"insert into accounts (owner, currency, name) values (%s, %s, %s) returning {columns(Account)}"
FIND_ACCOUNT = f"select {columns(Account)} from accounts where id = %s"
LIST_ACCOUNTS = f"select {columns(Account)} from accounts where id > %s order by id limit %s"
LIST_ACCOUNTS_OF = f"""
select {columns(Account)} from accounts where owner = %s and id > %s order by id limit %s
"""
LIST_ENTRIES = f"""
select {columns(Entry)} from entries where account_id = %s and seq < %s order by seq desc limit %s
"""
FOLLOW_ENTRIES = f"""
select {columns(Entry)} from entries where account_id = %s and seq > %s order by seq limit %s
"""
NEWEST_ENTRIES = "select id, seq from accounts where id = any(%s)"
FIND_TRANSFER = f"""
select {columns(Transfer, "t")}, f.owner, g.owner
from transfers t join accounts f on f.id = t.from_account_id join accounts g on g.id = t.to_account_id
where t.id = %s
"""
ADD_SETTLEMENT_ACCOUNTS = """
insert into accounts (currency, kind, name)
select c, 'settlement', 'Settlement ' || c from unnest(%s::text[]) as c order by c
on conflict (currency) where kind = 'settlement' do nothing
"""
LIST_SETTLEMENT_ACCOUNTS = "select currency, id from accounts where kind = 'settlement'"

FIND_OPENING = f"""
select r.fingerprint, {columns(Account, "a")}
from idempotency_records r left join accounts a on a.id = r.account_id
where r.username = %s and r.key = %s
"""
REMEMBER_OPENING = """
insert into idempotency_records (username, key, fingerprint, account_id, created_at)
values (%s, %s, %s, %s, clock_timestamp())
"""
FORGET_OLD_KEYS = """
delete from idempotency_records where ctid = any (array(
    select ctid from idempotency_records where created_at < clock_timestamp() - %s limit %s
    for update skip locked
))
"""


async def open_account(connection: Connection, owner: str, currency: str, name: str) -> Account:
    """A new empty account."""
    cursor = await connection.execute(OPEN_ACCOUNT, [owner, currency, name])
    return Account(*await _row(cursor))


async def find_account(connection: Connection, account_id: int) -> Account | None:
    """The account of this id."""
    cursor = await connection.execute(FIND_ACCOUNT, [account_id])
    row = await cursor.fetchone()
    return None if row is None else Account(*row)


async def list_accounts(
    connection: Connection, owner: str | None, *, after_id: int, limit: int
) -> list[Account]:
    """Accounts with larger ids, oldest first; of one owner, or all of the bank's."""
    statement, whose = (LIST_ACCOUNTS, []) if owner is None else (LIST_ACCOUNTS_OF, [owner])
    cursor = await connection.execute(statement, [*whose, after_id, limit])
    return [Account(*row) for row in await cursor.fetchall()]


async def list_entries(connection: Connection, account_id: int, *, before_seq: int, limit: int) -> list[Entry]:
    """The account's entries with smaller numbers, newest first."""
    cursor = await connection.execute(LIST_ENTRIES, [account_id, before_seq, limit])
    return [Entry(*row) for row in await cursor.fetchall()]


async def follow_entries(connection: Connection, account_id: int, *, after_seq: int, limit: int) -> list[Entry]:
    """The account's entries with larger numbers, oldest first."""
    cursor = await connection.execute(FOLLOW_ENTRIES, [account_id, after_seq, limit])
    return [Entry(*row) for row in await cursor.fetchall()]


async def newest_entries(connection: Connection, account_ids: Iterable[int]) -> dict[int, int]:
    """The number of each account's newest entry; 0 where there is none yet."""
    cursor = await connection.execute(NEWEST_ENTRIES, [list(account_ids)])
    return dict(await cursor.fetchall())


async def find_transfer(
    connection: Connection, transfer_id: int
) -> tuple[Transfer, str | None, str | None] | None:
    """The transfer of this id and the owners of its two sides."""
    cursor = await connection.execute(FIND_TRANSFER, [transfer_id])
    row = await cursor.fetchone()
    return None if row is None else (Transfer(*row[:-2]), row[-2], row[-1])


async def settlement_accounts(connection: Connection, currencies: Iterable[str]) -> dict[str, int]:
    """The id of every currency's settlement account; those of `currencies` are opened where missing."""
    await connection.execute(ADD_SETTLEMENT_ACCOUNTS, [list(currencies)])
    cursor = await connection.execute(LIST_SETTLEMENT_ACCOUNTS)
    return dict(await cursor.fetchall())


async def find_opening(connection: Connection, key: Key) -> tuple[bytes, Account | None] | None:
    """What a key was used for: the request's fingerprint, and the account if it opened one."""
    cursor = await connection.execute(FIND_OPENING, list(key))
    row = await cursor.fetchone()
    return None if row is None else (row[0], Account(*row[1:]) if row[1] is not None else None)


async def remember_opening(connection: Connection, key: Key, fingerprint: bytes, account_id: int) -> None:
    """Record the key; raises UniqueViolation when somebody used it meanwhile."""
    await connection.execute(REMEMBER_OPENING, [*key, fingerprint, account_id])


async def forget_old_keys(connection: Connection, *, age: Any, limit: int) -> int:
    """Delete at most `limit` records older than `age`; returns how many."""
    cursor = await connection.execute(FORGET_OLD_KEYS, [age, limit])
    return cursor.rowcount


async def _row(cursor: Any) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = await cursor.fetchone()
    assert row is not None
    return row
