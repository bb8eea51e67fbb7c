"""Users: who can log in, and what they are."""

from __future__ import annotations

from typing import Any

from domain.users import User
from persistence.connection import Connection
from persistence.rows import columns

EMAIL_INDEX = "users_email_key"

INSERT_USER = f"""
insert into users (username, full_name, email, password_hash) values (%s, %s, %s, %s)
returning {columns(User)}
"""
FIND_USER = f"select {columns(User)} from users where username = %s"
LOCK_USER = f"{FIND_USER} for update"
FIND_BY_EMAIL = f"select {columns(User)} from users where lower(email) = lower(%s)"
IS_VERIFIED = "select is_email_verified from users where username = %s"
FIND_CREDENTIALS = f"select password_hash, {columns(User)} from users where username = %s"
UPDATE_USER = f"""
update users set
    full_name = coalesce(%(full_name)s, full_name),
    email = coalesce(%(email)s, email),
    is_email_verified = is_email_verified and (%(email)s is null or lower(%(email)s) = lower(email))
where username = %(username)s
returning {columns(User)}
"""
SET_PASSWORD = """
update users set password_hash = %s, password_changed_at = clock_timestamp() where username = %s
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
    connection: Connection, username: str, *, full_name: str | None, email: str | None
) -> User:
    """Change what is not None of a user that is there; another address is unverified. Raises UniqueViolation."""
    values = {"username": username, "full_name": full_name, "email": email}
    return User(*await _one(connection, UPDATE_USER, values))


async def change_roles(connection: Connection, username: str, *, add: list[str], remove: list[str]) -> User:
    """Grant and take away roles of a user that is there."""
    return User(*await _one(connection, SET_ROLES, {"username": username, "add": add, "remove": remove}))


async def set_verified(connection: Connection, username: str) -> None:
    """Take the address as verified, on the word of whoever may reach the database."""
    await connection.execute(SET_VERIFIED, [username])


async def has_admin(connection: Connection) -> bool:
    """Whether anybody is an admin."""
    row = await _one(connection, COUNT_ADMINS, [])
    return bool(row[0])


async def lock_user(connection: Connection, username: str) -> User | None:
    """The user, unchanged by anybody else until the transaction ends."""
    row = await _one_or_none(connection, LOCK_USER, [username])
    return None if row is None else User(*row)


async def find_by_email(connection: Connection, email: str) -> User | None:
    """The user of this address, whatever its case."""
    row = await _one_or_none(connection, FIND_BY_EMAIL, [email])
    return None if row is None else User(*row)


async def is_verified(connection: Connection, username: str) -> bool:
    """Whether this user's present address is proven."""
    row = await _one_or_none(connection, IS_VERIFIED, [username])
    return row is not None and bool(row[0])


async def set_password(connection: Connection, username: str, password_hash: str) -> None:
    """Another password, from now on."""
    await connection.execute(SET_PASSWORD, [password_hash, username])


async def _one_or_none(connection: Connection, statement: str, parameters: Any) -> tuple[Any, ...] | None:
    cursor = await connection.execute(statement, parameters)
    return await cursor.fetchone()


async def _one(connection: Connection, statement: str, parameters: Any) -> tuple[Any, ...]:
    row = await _one_or_none(connection, statement, parameters)
    assert row is not None
    return row
