"""Users and roles made on the word of whoever runs the service, who may reach the database anyhow."""

from __future__ import annotations

import logging

from application.passwords import Passwords
from application.users import change_roles, check_new_user, taken
from domain.errors import AlreadyExists, NotFound
from domain.policy import Role
from domain.users import SecurityEventKind, User
from persistence import security_events, users
from persistence.faults import UniqueViolation
from persistence.pool import Pool
from persistence.security_events import NOBODY

log = logging.getLogger(__name__)


async def appoint(
    pool: Pool,
    passwords: Passwords,
    username: str,
    role: str,
    password: str,
    *,
    email: str | None = None,
    full_name: str | None = None,
) -> User:
    """A new user with this one role, and a verified address. Raises InvalidArgument, AlreadyExists."""
    email = email or f"{username}@localhost.localdomain"
    full_name = full_name or username
    check_new_user(username, password, full_name, email)
    password_hash = await passwords.hash(password)
    others = [each.value for each in Role if each != role]
    try:
        async with pool.transaction() as connection:
            await users.insert_user(connection, username, full_name, email, password_hash)
            await users.set_verified(connection, username)
            await security_events.append(
                connection,
                SecurityEventKind.USER_CREATED,
                username,
                NOBODY,
                detail=f"as {role}, by an operator",
            )
            return await users.change_roles(connection, username, add=[role], remove=others)
    except UniqueViolation as violation:
        raise taken(violation) from None


async def bootstrap_admin(pool: Pool, passwords: Passwords, username: str, password: str) -> None:
    """Appoint an admin where there is none."""
    async with pool.connection() as connection:
        if await users.has_admin(connection):
            return
    try:
        await appoint(pool, passwords, username, Role.ADMIN, password)
    except AlreadyExists:  # another process was faster, or somebody registered under this name
        log.warning("the admin %s was not made: the name is taken", username)


async def regrant(pool: Pool, username: str, *, add: list[str], remove: list[str]) -> User:
    """Grant and take away roles; ends the user's sessions. Raises NotFound."""
    async with pool.transaction() as connection:
        before = await users.lock_user(connection, username)
        if before is None:
            raise NotFound("user")
        user, _ = await change_roles(connection, before, add=add, remove=remove, client=NOBODY, actor=None)
        return user
