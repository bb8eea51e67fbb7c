"""Users, their sessions and the links mailed to them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from domain.users import EmailVerification, Session, User
from persistence.connection import Connection
from persistence.rows import columns

EMAIL_INDEX = "users_email_key"

INSERT_USER = f"""
insert into users (username, full_name, email, password_hash) values (%s, %s, %s, %s)
returning {columns(User)}
"""
FIND_USER = f"select {columns(User)} from users where username = %s"
FIND_CREDENTIALS = f"select password_hash, {columns(User)} from users where username = %s"
UPDATE_USER = f"""
update users set
    full_name = coalesce(%(full_name)s, full_name),
    email = coalesce(%(email)s, email),
    is_email_verified = is_email_verified and (%(email)s is null or lower(%(email)s) = lower(email)),
    password_hash = coalesce(%(password_hash)s, password_hash),
    password_changed_at = case when %(password_hash)s is null then password_changed_at else clock_timestamp() end
where username = %(username)s
returning {columns(User)}
"""
SET_ROLES = f"""
update users set roles = (
    select coalesce(array_agg(distinct r order by r), '{{}}') from unnest(roles || %(add)s::text[]) as r
    where r <> all (%(remove)s::text[])
) where username = %(username)s
returning {columns(User)}
"""

SET_VERIFIED = "update users set is_email_verified = true where username = %s"
COUNT_ADMINS = "select count(*) from users where 'admin' = any(roles)"

INSERT_SESSION = f"insert into sessions ({columns(Session)}) values (%s, %s, %s, %s, %s, %s, %s)"

INSERT_VERIFICATION = (
    f"insert into email_verifications ({columns(EmailVerification)}) values (%s, %s, %s, %s, %s, %s)"
)
# Single use, in time, and only for the address the user still has.
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


async def insert_user(
    connection: Connection, username: str, full_name: str, email: str, password_hash: str
) -> User:
    """Raises UniqueViolation when the username or the address is taken."""
    return User(*await _one(connection, INSERT_USER, [username, full_name, email, password_hash]))


async def find_user(connection: Connection, username: str) -> User | None:
    """The user of this name."""
    row = await _one_or_none(connection, FIND_USER, [username])
    return None if row is None else User(*row)


async def find_credentials(connection: Connection, username: str) -> tuple[str, User] | None:
    """The password's hash and the user."""
    row = await _one_or_none(connection, FIND_CREDENTIALS, [username])
    return None if row is None else (row[0], User(*row[1:]))


async def update_user(
    connection: Connection,
    username: str,
    *,
    full_name: str | None,
    email: str | None,
    password_hash: str | None,
) -> User | None:
    """Change what is not None; another address is unverified. Raises UniqueViolation when it is taken."""
    row = await _one_or_none(
        connection,
        UPDATE_USER,
        {"username": username, "full_name": full_name, "email": email, "password_hash": password_hash},
    )
    return None if row is None else User(*row)


async def change_roles(
    connection: Connection, username: str, *, add: list[str], remove: list[str]
) -> User | None:
    """Grant and take away roles."""
    row = await _one_or_none(connection, SET_ROLES, {"username": username, "add": add, "remove": remove})
    return None if row is None else User(*row)


async def set_verified(connection: Connection, username: str) -> None:
    """Take the address as verified, on the word of whoever may reach the database."""
    await connection.execute(SET_VERIFIED, [username])


async def has_admin(connection: Connection) -> bool:
    """Whether anybody is an admin."""
    row = await _one(connection, COUNT_ADMINS, [])
    return bool(row[0])


async def insert_session(connection: Connection, session: Session) -> None:
    """Store a new session."""
    await connection.execute(INSERT_SESSION, session)


async def insert_verification(connection: Connection, verification: EmailVerification) -> None:
    """Store what was mailed."""
    await connection.execute(INSERT_VERIFICATION, verification)


async def use_verification(connection: Connection, verification_id: UUID, secret_hash: bytes) -> bool:
    """Mark the address verified; False when the link is unknown, used, expired, or for an old address."""
    return await _one_or_none(connection, USE_VERIFICATION, [verification_id, secret_hash]) is not None


async def _one_or_none(connection: Connection, statement: str, parameters: Any) -> tuple[Any, ...] | None:
    cursor = await connection.execute(statement, parameters)
    return await cursor.fetchone()


async def _one(connection: Connection, statement: str, parameters: Any) -> tuple[Any, ...]:
    row = await _one_or_none(connection, statement, parameters)
    assert row is not None
    return row
