"""The outbox: mails committed together with what they are about, until they are known to be sent.

Called by `application` (`put`) and by the outbox relay. Errors are those of the connection's pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from persistence.connection import Connection

PUT = "insert into outbox (kind, sealed) values (%s, %s)"
# Several relays share the work: each takes rows that no other holds.
TAKE_WAITING = """
select id, sealed from outbox where relayed_at is null order by id limit %s for update skip locked
"""
MARK_RELAYED = "update outbox set relayed_at = clock_timestamp() where id = any(%s)"
LIST_UNCONFIRMED = """
select id, sealed from outbox where sent_at is null and relayed_at is not null and id > %s order by id limit %s
"""
MARK_SENT = (
    "update outbox set sent_at = clock_timestamp(), sealed = null where id = any(%s) and sent_at is null"
)
MARK_WAITING = "update outbox set relayed_at = null where id = any(%s) and sent_at is null"
COUNT_WAITING = "select count(*) from outbox where relayed_at is null"
PURGE_RELAYED = """
delete from outbox where id in (
    select id from outbox where relayed_at < clock_timestamp() - %s::interval
    order by id limit %s for update skip locked
)
"""


class OutboxRow(NamedTuple):
    """A sealed mail that is not known to be sent."""

    id: int
    sealed: bytes


async def put(connection: Connection, kind: str, sealed: bytes) -> None:
    """Add a mail, within the caller's transaction."""
    await connection.execute(PUT, [kind, sealed])


async def take_waiting(connection: Connection, limit: int) -> list[OutboxRow]:
    """The oldest waiting mails, locked until the transaction ends."""
    cursor = await connection.execute(TAKE_WAITING, [limit])
    return [OutboxRow(*row) for row in await cursor.fetchall()]


async def mark_relayed(connection: Connection, ids: Sequence[int]) -> None:
    """They are in the queue."""
    await connection.execute(MARK_RELAYED, [list(ids)])


async def list_unconfirmed(connection: Connection, *, after_id: int, limit: int) -> list[OutboxRow]:
    """Mails that were in the queue and are not known to be sent, oldest first."""
    cursor = await connection.execute(LIST_UNCONFIRMED, [after_id, limit])
    return [OutboxRow(*row) for row in await cursor.fetchall()]


async def mark_sent(connection: Connection, ids: Sequence[int]) -> None:
    """They were sent, or given up for good; what was sealed is not kept."""
    await connection.execute(MARK_SENT, [list(ids)])


async def mark_waiting(connection: Connection, ids: Sequence[int]) -> None:
    """The queue has lost them: they wait again."""
    await connection.execute(MARK_WAITING, [list(ids)])


async def count_waiting(connection: Connection) -> int:
    """How many mails are not in the queue yet."""
    cursor = await connection.execute(COUNT_WAITING)
    ((count,),) = await cursor.fetchall()
    return int(count)


async def purge_relayed(connection: Connection, *, age: timedelta, limit: int) -> int:
    """Delete rows relayed longer ago than `age`, `limit` at most; returns how many. Waiting rows stay."""
    cursor = await connection.execute(PURGE_RELAYED, [age, limit])
    return cursor.rowcount
