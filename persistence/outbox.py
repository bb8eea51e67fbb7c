"""The outbox: mails committed together with what they are about, until they are in the mail queue.

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
MARK_RELAYED = "update outbox set relayed_at = clock_timestamp(), sealed = null where id = any(%s)"
COUNT_WAITING = "select count(*) from outbox where relayed_at is null"
PURGE_RELAYED = """
delete from outbox where id in (
    select id from outbox where relayed_at < clock_timestamp() - %s::interval
    order by id limit %s for update skip locked
)
"""


class OutboxRow(NamedTuple):
    """A sealed mail that waits."""

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
    """They are in the queue; what was sealed is not kept."""
    await connection.execute(MARK_RELAYED, [list(ids)])


async def count_waiting(connection: Connection) -> int:
    """How many mails are not in the queue yet."""
    cursor = await connection.execute(COUNT_WAITING)
    ((count,),) = await cursor.fetchall()
    return int(count)


async def purge_relayed(connection: Connection, *, age: timedelta, limit: int) -> int:
    """Delete rows relayed longer ago than `age`, `limit` at most; returns how many. Waiting rows stay."""
    cursor = await connection.execute(PURGE_RELAYED, [age, limit])
    return cursor.rowcount
