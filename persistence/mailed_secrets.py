"""Codes mailed to users, each good once and for a while: to prove an address, to choose a new password."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from domain.users import MailedSecret
from persistence.connection import Connection

INSERT = """
(id, username, email, secret_hash, created_at, expires_at)
select %s, %s, %s, %s, now, now + %s from clock_timestamp() now
"""
INSERT_VERIFICATION = f"insert into email_verifications {INSERT}"
INSERT_RESET = f"insert into password_resets {INSERT}"
# In time, for the first time, and only for the address that the user still has.
USE_VERIFICATION = """
with used as (
    update email_verifications set used_at = clock_timestamp()
    where id = %s and secret_hash = %s and used_at is null and expires_at > clock_timestamp()
    returning username, email
)
update users u set is_email_verified = true from used
where u.username = used.username and u.email = used.email
returning u.username
"""
USE_RESET = """
with used as (
    update password_resets set used_at = clock_timestamp()
    where id = %s and secret_hash = %s and used_at is null and expires_at > clock_timestamp()
    returning username, email
)
select u.username from users u join used on u.username = used.username and u.email = used.email
"""
VOID_RESETS = "update password_resets set used_at = clock_timestamp() where username = %s and used_at is null"
FORGET_VERIFICATIONS = "delete from email_verifications where expires_at < clock_timestamp() - %s::interval"
FORGET_RESETS = "delete from password_resets where expires_at < clock_timestamp() - %s::interval"


async def insert_verification(connection: Connection, secret: MailedSecret) -> None:
    """Store what was mailed to prove an address."""
    await connection.execute(INSERT_VERIFICATION, secret)


async def use_verification(connection: Connection, email_id: UUID, secret_hash: bytes) -> str | None:
    """Mark the address verified; None when the link is unknown, used, expired, or for an old address."""
    return await _username(connection, USE_VERIFICATION, email_id, secret_hash)


async def insert_reset(connection: Connection, secret: MailedSecret) -> None:
    """Store what was mailed to choose a new password."""
    await connection.execute(INSERT_RESET, secret)


async def use_reset(connection: Connection, reset_id: UUID, secret_hash: bytes) -> str | None:
    """Whose password may be changed now; None when the link is unknown, used, expired, or for an old address."""
    return await _username(connection, USE_RESET, reset_id, secret_hash)


async def void_resets(connection: Connection, username: str) -> None:
    """Whatever was mailed to this user to choose a new password is of no use from now on."""
    await connection.execute(VOID_RESETS, [username])


async def forget(connection: Connection, *, age: timedelta) -> None:
    """Delete what expired longer ago than `age`."""
    await connection.execute(FORGET_VERIFICATIONS, [age])
    await connection.execute(FORGET_RESETS, [age])


async def _username(connection: Connection, statement: str, id_: UUID, secret_hash: bytes) -> str | None:
    cursor = await connection.execute(statement, [id_, secret_hash])
    row = await cursor.fetchone()
    return None if row is None else str(row[0])
