"""Users: registration, reading, changing, roles.

Every operation authorises and validates for itself; transports only translate. What ends sessions tells
`revoke` which, once it is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from uuid import UUID

from application.letters import Letters
from application.passwords import Passwords
from application.throttle import Throttle
from application.verified_users import VerifiedUsers
from domain import validation
from domain.errors import AlreadyExists, NotFound, PermissionDenied
from domain.policy import Operation, Principal, Scope, check, may_change
from domain.users import Client, SecurityEventKind, User
from persistence import mailed_secrets, security_events, sessions, users
from persistence.connection import Connection
from persistence.faults import UniqueViolation
from persistence.pool import Pool


class Users:
    """Called by transports."""

    def __init__(
        self,
        pool: Pool,
        *,
        passwords: Passwords,
        throttle: Throttle,
        verified: VerifiedUsers,
        revoke: Callable[[Collection[UUID]], None],
        letters: Letters,
    ) -> None:
        self._pool = pool
        self._passwords = passwords
        self._throttle = throttle
        self._verified = verified
        self._revoke = revoke
        self._letters = letters

    async def create(self, client: Client, *, username: str, password: str, full_name: str, email: str) -> User:
        """Register; a verification link is mailed. Raises InvalidArgument, AlreadyExists, RateLimited."""
        check_new_user(username, password, full_name, email)
        await self._throttle.registration(client.address)
        password_hash = await self._passwords.hash(password)
        try:
            async with self._pool.transaction() as connection:
                user = await users.insert_user(connection, username, full_name, email, password_hash)
                await security_events.append(connection, SecurityEventKind.USER_CREATED, username, client)
                await self._ask_to_verify(connection, user)
        except UniqueViolation as violation:
            raise taken(violation) from None
        self._letters.posted()
        return user

    async def get(self, principal: Principal, username: str) -> User:
        """Oneself, or anybody for staff. Raises NotFound."""
        _check_reaches(principal, Operation.GET_USER, username)
        async with self._pool.connection() as connection:
            user = await users.find_user(connection, username)
        if user is None:
            raise NotFound("user")
        return user

    async def update(
        self,
        principal: Principal,
        client: Client,
        username: str,
        *,
        full_name: str | None = None,
        email: str | None = None,
        password: str | None = None,
    ) -> User:
        """Change what is not None.

        A new address is unverified, and both are written to. A new password ends every session, the one it
        was sent in too. Raises NotFound, PermissionDenied, InvalidArgument, AlreadyExists, RateLimited.
        """
        check(principal, Operation.UPDATE_USER)
        validation.check(
            (
                ("full_name", None if full_name is None else validation.full_name(full_name)),
                ("email", None if email is None else validation.email(email)),
                ("password", None if password is None else validation.password(password)),
            )
        )
        _check_reaches(principal, Operation.UPDATE_USER, username)
        if email is not None:
            await self._throttle.mail(client.address)
        if password is not None:
            await self._throttle.password(username)
        password_hash = None if password is None else await self._passwords.hash(password)
        ended: list[UUID] = []
        try:
            async with self._pool.transaction() as connection:
                before = await _lock_to_change(connection, principal, username)
                user = await users.update_user(connection, username, full_name=full_name, email=email)
                if email is not None:
                    await self._address_given(connection, principal, client, before, user)
                if password_hash is not None:
                    ended = await set_password(
                        connection, self._letters, user, password_hash, client, actor=principal.username
                    )
        except UniqueViolation as violation:
            raise taken(violation) from None
        self._verified.forget(username)
        self._revoke(ended)
        self._letters.posted()
        return user

    async def grant_roles(
        self, principal: Principal, client: Client, username: str, roles: Collection[str]
    ) -> User:
        """Give a user exactly these roles; none disables. Ends the user's sessions, for tokens carry roles.

        Nobody changes their own, so an admin is always left. Raises NotFound, PermissionDenied, InvalidArgument.
        """
        _check_reaches(principal, Operation.GRANT_ROLES, username)
        validation.check(("roles", validation.role(role)) for role in roles)
        if username == principal.username:
            raise PermissionDenied("nobody changes their own roles")
        async with self._pool.transaction() as connection:
            before = await users.lock_user(connection, username)
            if before is None:
                raise NotFound("user")
            add, remove = sorted(set(roles)), sorted(set(before.roles) - set(roles))
            user, ended = await change_roles(
                connection, before, add=add, remove=remove, client=client, actor=principal.username
            )
        self._revoke(ended)
        return user

    async def _address_given(
        self, connection: Connection, principal: Principal, client: Client, before: User, user: User
    ) -> None:
        if user.email != before.email:
            detail = f"{before.email} -> {user.email}"
            await security_events.append(
                connection,
                SecurityEventKind.EMAIL_CHANGED,
                user.username,
                client,
                actor=principal.username,
                detail=detail,
            )
        if user.email.lower() != before.email.lower():
            await self._letters.tell_former_address(connection, before)
        if not user.is_email_verified:
            await self._ask_to_verify(connection, user)

    async def _ask_to_verify(self, connection: Connection, user: User) -> None:
        # Counted here, where nothing can keep the link from going out but the limit itself: whoever registers
        # or chooses an address that is taken uses up nothing of its owner's.
        await self._throttle.verification_to(user.email)
        await self._letters.ask_to_verify(connection, user)


async def _lock_to_change(connection: Connection, principal: Principal, username: str) -> User:
    user = await users.lock_user(connection, username)
    if user is None:
        raise NotFound("user")
    if username != principal.username and not may_change(principal.scopes, user.roles):
        raise PermissionDenied("only an admin may change a member of the staff")
    return user


async def set_password(
    connection: Connection,
    letters: Letters,
    user: User,
    password_hash: str,
    client: Client,
    *,
    actor: str | None,
) -> list[UUID]:
    """Another password for a locked user, who is written to; ends every session, and returns which."""
    await users.set_password(connection, user.username, password_hash)
    await mailed_secrets.void_resets(connection, user.username)
    await security_events.append(
        connection, SecurityEventKind.PASSWORD_CHANGED, user.username, client, actor=actor
    )
    await letters.tell_of_new_password(connection, user)
    return await sessions.end_all(connection, user.username)


async def change_roles(
    connection: Connection,
    before: User,
    *,
    add: list[str],
    remove: list[str],
    client: Client,
    actor: str | None,
) -> tuple[User, list[UUID]]:
    """Change a locked user's roles, record it, and end the sessions; returns the user, and which ended."""
    user = await users.change_roles(connection, before.username, add=add, remove=remove)
    if user.roles == before.roles:
        return user, []
    detail = f"{', '.join(before.roles) or 'none'} -> {', '.join(user.roles) or 'none'}"
    await security_events.append(
        connection, SecurityEventKind.ROLES_CHANGED, user.username, client, actor=actor, detail=detail
    )
    return user, await sessions.end_all(connection, user.username)


def check_new_user(username: str, password: str, full_name: str, email: str) -> None:
    """Raises InvalidArgument naming every bad field."""
    validation.check(
        (
            ("username", validation.username(username)),
            ("password", validation.password(password)),
            ("full_name", validation.full_name(full_name)),
            ("email", validation.email(email)),
        )
    )


def taken(violation: UniqueViolation) -> AlreadyExists:
    """Which of the unique things it is."""
    what = "email" if violation.constraint == users.EMAIL_INDEX else "username"
    return AlreadyExists(f"this {what} is taken")


def _check_reaches(principal: Principal, operation: Operation, username: str) -> None:
    scope = check(principal, operation)
    if principal.username != username and (scope is not Scope.ANY or validation.username(username)):
        raise NotFound("user")
