"""Sessions: logins that may be renewed until they expire or are ended.

A session remembers the hash of its newest refresh token only. `rotate` puts the next one in its place in one
statement, so of two renewals at once one finds its token gone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from domain.users import Session, User
from persistence.connection import Connection
from persistence.rows import columns

# The user's row is locked against changes: who changes a password or roles after this finds the session, and
# what has changed since the password was verified leaves no session behind. Logins of one user go one by one.
INSERT = f"""
insert into sessions ({columns(Session)})
select %(id)s, username, %(refresh_token_hash)s, %(user_agent)s, %(client_address)s, %(created_at)s,
       %(last_used_at)s, %(expires_at)s
from users where username = %(username)s and password_changed_at = %(password_changed_at)s and roles = %(roles)s
for no key update
"""
ROTATE = f"""
with rotated as (
    update sessions set refresh_token_hash = %(next_hash)s, last_used_at = clock_timestamp(),
           user_agent = %(user_agent)s, client_address = %(client_address)s
    where id = %(id)s and refresh_token_hash = %(hash)s and ended_at is null and expires_at > clock_timestamp()
    returning username
)
select {columns(User, "u")} from rotated join users u using (username)
"""
# Clocks differ, so access tokens are believed a little longer than their session lasts; it can be ended as long.
ENDABLE = "ended_at is null and expires_at > clock_timestamp() - interval '1 minute'"
END_REUSED = f"""
update sessions set ended_at = clock_timestamp()
where id = %s and refresh_token_hash <> %s and {ENDABLE} returning username
"""
END_OWN = f"""
update sessions set ended_at = clock_timestamp() where id = %s and username = %s and {ENDABLE} returning id
"""
END_ALL = f"""
update sessions set ended_at = clock_timestamp() where username = %s and {ENDABLE} returning id
"""
END_LONGEST_UNUSED = """
update sessions set ended_at = clock_timestamp() where id in (
    select id from sessions
    where username = %s and id <> %s and ended_at is null and expires_at > clock_timestamp()
    order by last_used_at desc, id offset %s
) returning id
"""
LIST_ACTIVE = f"""
select {columns(Session)} from sessions
where username = %s and ended_at is null and expires_at > clock_timestamp()
order by last_used_at desc, id limit %s
"""
ENDED_SINCE = "select id from sessions where ended_at > clock_timestamp() - %s::interval"
FORGET = """
delete from sessions where id in (
    select id from sessions where expires_at < clock_timestamp() - %s::interval limit %s for update skip locked
)
"""


class Rotation(NamedTuple):
    """One refresh token in place of another."""

    id: UUID
    hash: bytes
    next_hash: bytes
    user_agent: str
    client_address: str


async def insert(connection: Connection, session: Session, user: User) -> bool:
    """Store a new session of this user; False when the password or the roles have changed meanwhile."""
    known = {"password_changed_at": user.password_changed_at, "roles": user.roles}
    cursor = await connection.execute(INSERT, session._asdict() | known)
    return cursor.rowcount == 1


async def rotate(connection: Connection, rotation: Rotation) -> User | None:
    """Put the next token in place of this one; None when this one is not the newest, or the session is over."""
    cursor = await connection.execute(ROTATE, rotation._asdict())
    row = await cursor.fetchone()
    return None if row is None else User(*row)


async def end_reused(connection: Connection, session_id: UUID, refresh_token_hash: bytes) -> str | None:
    """End a session whose newest token is not this one; returns its user's name, None if there is none."""
    cursor = await connection.execute(END_REUSED, [session_id, refresh_token_hash])
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


async def end_own(connection: Connection, session_id: UUID, username: str) -> bool:
    """End a session of this user's; False when there is none to be ended."""
    cursor = await connection.execute(END_OWN, [session_id, username])
    return cursor.rowcount == 1


async def end_all(connection: Connection, username: str) -> list[UUID]:
    """End every session of a user; returns which."""
    cursor = await connection.execute(END_ALL, [username])
    return [row[0] for row in await cursor.fetchall()]


async def end_longest_unused(connection: Connection, newest: Session, *, kept: int) -> list[UUID]:
    """End the user's sessions but for this one and the others last used, `kept` in all; returns which."""
    cursor = await connection.execute(END_LONGEST_UNUSED, [newest.username, newest.id, kept - 1])
    return [row[0] for row in await cursor.fetchall()]


async def list_active(connection: Connection, username: str, *, limit: int) -> list[Session]:
    """The user's sessions that can be renewed, last used first."""
    cursor = await connection.execute(LIST_ACTIVE, [username, limit])
    return [Session(*row) for row in await cursor.fetchall()]


async def ended_since(connection: Connection, age: timedelta) -> list[UUID]:
    """The sessions that were ended no longer ago than `age`."""
    cursor = await connection.execute(ENDED_SINCE, [age])
    return [row[0] for row in await cursor.fetchall()]


async def forget(connection: Connection, *, age: timedelta, limit: int) -> int:
    """Delete at most `limit` sessions that expired longer ago than `age`; returns how many."""
    cursor = await connection.execute(FORGET, [age, limit])
    return cursor.rowcount
