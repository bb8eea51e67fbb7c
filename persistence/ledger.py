"""A batch's two round trips to PostgreSQL: `lock` what it touches, then `post` what was decided.

Lock order, here and everywhere: accounts ascending, then idempotency keys ascending, then nothing. Called by
the transfer coordinator's lanes, inside a connection of theirs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.errors import Code
from domain.ledger import Account, Entry, Key, Posted, Record, Refused, Transfer
from domain.settle import Settlement
from persistence.connection import Connection
from persistence.rows import columns

TRANSFER_ID_BLOCK = 1000
"""Transfer ids handed out by one value of the sequence `transfer_id_blocks`."""

LOCK_ACCOUNTS = f"select {columns(Account)} from accounts where id = any(%s::bigint[]) order by id for update"

CLOCK = "select clock_timestamp()"

TAKE_TRANSFER_IDS = "select nextval('transfer_id_blocks') from generate_series(1, %s)"

# A posted transfer left both accounts active, so a replay shows them as they were: the immutable columns as
# they are, the moving ones from the entry.
FIND_KEYS = f"""
select r.username, r.key, r.fingerprint, r.refusal,
       {columns(Transfer, "t")}, {columns(Account, "s")}, {columns(Account, "g")},
       {columns(Entry, "d")}, {columns(Entry, "c")}
from unnest(%s::text[], %s::text[]) as k (username, key)
join idempotency_records r on r.username = k.username and r.key = k.key
left join transfers t on t.id = r.transfer_id
left join accounts s on s.id = t.from_account_id
left join accounts g on g.id = t.to_account_id
left join entries d on d.account_id = t.from_account_id and d.seq = t.from_seq
left join entries c on c.account_id = t.to_account_id and c.seq = t.to_seq
"""

# One statement, because the triggers that compare transfers, entries and balances run at its end.
POST_TRANSFERS = """
with batch as materialized (
    select * from unnest(
        %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
        %s::bigint[], %s::text[], %s::text[]
    ) as b (id, from_account_id, from_seq, from_balance, to_account_id, to_seq, to_balance, amount, currency,
            created_by)
), made as (
    insert into transfers (id, from_account_id, from_seq, to_account_id, to_seq, amount, currency, created_by,
                           created_at)
    select id, from_account_id, from_seq, to_account_id, to_seq, amount, currency, created_by, %s from batch
), numbered as (
    insert into entries (account_id, seq, transfer_id, amount, balance_after, created_at)
    select from_account_id, from_seq, id, -amount, from_balance, %s from batch
    union all
    select to_account_id, to_seq, id, amount, to_balance, %s from batch
)
update accounts a set balance = h.balance, seq = h.seq, changed_at = %s
from unnest(%s::bigint[], %s::bigint[], %s::bigint[]) as h (id, seq, balance)
where a.id = h.id
"""

REMEMBER_KEYS = """
insert into idempotency_records (username, key, fingerprint, refusal, transfer_id, created_at)
select *, clock_timestamp()
from unnest(%s::text[], %s::text[], %s::bytea[], %s::text[], %s::bigint[])
     as k (username, key, fingerprint, refusal, transfer_id)
order by username, key
"""

FIND_TRANSFER = "select exists (select from transfers where id = %s)"
FIND_RECORD = (
    "select exists (select from idempotency_records where username = %s and key = %s and fingerprint = %s)"
)


@dataclass(frozen=True, slots=True)
class Locked:
    """What a batch may decide on: rows that nobody else can change until this transaction ends."""

    accounts: dict[int, Account]
    known: dict[Key, Record]
    now: datetime
    ids: list[int]


async def lock(
    connection: Connection, account_ids: Collection[int], keys: Collection[Key], *, new_ids: int
) -> Locked:
    """Begin a transaction and lock the accounts, in one round trip.

    The clock and the keys are read after the locks are held, each by a statement of its own, which sees
    everything that the previous holders committed. `ids` are fresh transfer ids, `new_ids` at least.
    """
    async with connection.pipeline():
        await connection.execute("begin")
        rows = await connection.execute(LOCK_ACCOUNTS, [array(sorted(account_ids))], prepare=True)
        clock = await connection.execute(CLOCK, prepare=True)
        found = await connection.execute(FIND_KEYS, _transposed(keys, 2), prepare=True) if keys else None
        blocks = -(-new_ids // TRANSFER_ID_BLOCK)
        taken = await connection.execute(TAKE_TRANSFER_IDS, [blocks], prepare=True) if blocks else None
    accounts = {row[0]: Account(*row) for row in await rows.fetchall()}
    known = dict(_record(row) for row in await found.fetchall()) if found else {}
    ((now,),) = await clock.fetchall()
    numbers = [number for (number,) in await taken.fetchall()] if taken else []
    ids = [number * TRANSFER_ID_BLOCK + each for number in numbers for each in range(TRANSFER_ID_BLOCK)]
    return Locked(accounts, known, now, ids)


async def post(connection: Connection, settlement: Settlement) -> None:
    """Write what was decided and commit, in one round trip.

    A key that another process used meanwhile violates its unique index: the transaction is over and the
    batch is to be locked and decided again.
    """
    async with connection.committing():
        if settlement.posted:
            await connection.execute(POST_TRANSFERS, _posting(settlement), prepare=True)
        if settlement.records:
            await connection.execute(REMEMBER_KEYS, _remembering(settlement), prepare=True)


async def is_posted(connection: Connection, account_ids: Collection[int], settlement: Settlement) -> bool:
    """Whether the transaction that wrote this settlement has committed.

    Takes the batch's row locks first: the writer, should it still live, holds them until its end, so the
    answer is final.
    """
    async with connection.transaction():
        await connection.execute(LOCK_ACCOUNTS, [array(sorted(account_ids))])
        if settlement.posted:
            cursor = await connection.execute(FIND_TRANSFER, [settlement.posted[0].transfer.id])
        else:
            (username, key), record = next(iter(settlement.records.items()))
            cursor = await connection.execute(FIND_RECORD, [username, key, record.fingerprint])
        ((found,),) = await cursor.fetchall()
    return bool(found)


def array(values: Iterable[int]) -> str:
    """Integers as a PostgreSQL array literal: far cheaper to make than one dumped value by value."""
    return "{%s}" % ",".join(map(str, values))  # noqa: UP031 - braces are what it is about


def text_array(values: Iterable[str]) -> str:
    """Texts likewise, at least one."""
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return '{"%s"}' % '","'.join(escaped)  # noqa: UP031 - likewise


def _transposed(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def _posting(settlement: Settlement) -> list[Any]:
    rows = [
        (
            transfer.id,
            transfer.from_account_id,
            transfer.from_seq,
            debit.balance_after,
            transfer.to_account_id,
            transfer.to_seq,
            credit.balance_after,
            transfer.amount,
            transfer.currency,
            transfer.created_by,
        )
        for transfer, _, _, debit, credit, _ in settlement.posted
    ]
    *numbers, currencies, creators = zip(*rows, strict=True)
    at = settlement.posted[0].transfer.created_at
    heads = settlement.heads
    return [
        *map(array, numbers),
        text_array(currencies),
        text_array(creators),
        *[at] * 4,
        array(heads),
        array(head.seq for head in heads.values()),
        array(head.balance_after for head in heads.values()),
    ]


def _remembering(settlement: Settlement) -> list[list[Any]]:
    return _transposed(
        (
            (
                *key,
                record.fingerprint,
                record.outcome.code.value if isinstance(record.outcome, Refused) else None,
                record.outcome.transfer.id if isinstance(record.outcome, Posted) else None,
            )
            for key, record in settlement.records.items()
        ),
        5,
    )


def _record(row: tuple[Any, ...]) -> tuple[Key, Record]:
    username, key, fingerprint, refusal, *rest = row
    if rest[0] is None:  # refused, or the key opened an account: then no fingerprint of an order is its own
        return Key(username, key), Record(fingerprint, Refused(Code(refusal or Code.IDEMPOTENCY_KEY_REUSED)))
    values = iter(rest)
    transfer = Transfer(*(next(values) for _ in Transfer._fields))
    source = Account(*(next(values) for _ in Account._fields))
    target = Account(*(next(values) for _ in Account._fields))
    debit = Entry(*(next(values) for _ in Entry._fields))
    credit = Entry(*(next(values) for _ in Entry._fields))
    return Key(username, key), Record(fingerprint, Posted(transfer, source, target, debit, credit))
