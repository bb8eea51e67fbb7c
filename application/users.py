"""Users: registration, reading, changing, roles, and what is proven by mail.

Every operation authorises and validates for itself; transports only translate. What ends sessions tells
`revoke` which, once it is committed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from uuid import UUID, uuid4

import trio

from application.keys import digest
from application.mail import (
    Seal,
    Sender,
    address_changed_mail,
    password_changed_mail,
    reset_mail,
    verification_mail,
)
from application.passwords import Passwords
from application.throttle import Throttle
from application.verified_users import VerifiedUsers
from domain import validation
from domain.errors import AlreadyExists, NotFound, PermissionDenied
from domain.policy import Operation, Principal, Scope, check, may_change
from domain.users import Client, MailedSecret, SecurityEventKind, User
from persistence import mailed_secrets, outbox, security_events, sessions, users
from persistence.connection import Connection
from persistence.faults import UniqueViolation
from persistence.pool import Pool

VERIFICATION_LASTS = timedelta(minutes=15)
RESET_LASTS = timedelta(minutes=15)
SECRET_BYTES = 32
ANSWERED_AFTER_S = 0.1
"""So long it takes to ask for a mail to an address, whether anybody has it or not."""


class Users:
    """Called by transports. `mail_waits` is told when a mail was committed to the outbox."""

    def __init__(
        self,
        pool: Pool,
        *,
        passwords: Passwords,
        throttle: Throttle,
        verified: VerifiedUsers,
        revoke: Callable[[Collection[UUID]], None],
        seal: Seal,
        sender: Sender,
        mail_waits: Callable[[], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._passwords = passwords
        self._throttle = throttle
        self._verified = verified
        self._revoke = revoke
        self._seal = seal
        self._sender = sender
        self._mail_waits = mail_waits
        self._now = now

    async def create(self, client: Client, *, username: str, password: str, full_name: str, email: str) -> User:
        """Register; a verification link is mailed. Raises InvalidArgument, AlreadyExists, RateLimited."""
        check_new_user(username, password, full_name, email)
        await self._throttle.registration(client.address, email)
        password_hash = await self._passwords.hash(password)
        try:
            async with self._pool.transaction() as connection:
                user = await users.insert_user(connection, username, full_name, email, password_hash)
                await security_events.append(connection, SecurityEventKind.USER_CREATED, username, client)
                await self._ask_to_verify(connection, user)
        except UniqueViolation as violation:
            raise taken(violation) from None
        self._mail_waits()
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
        _check_reaches(principal, Operation.UPDATE_USER, username)
        validation.check(
            (
                ("full_name", None if full_name is None else validation.full_name(full_name)),
                ("email", None if email is None else validation.email(email)),
                ("password", None if password is None else validation.password(password)),
            )
        )
        if email is not None:
            await self._throttle.mail(client.address, email)
        if password is not None:
            await self._throttle.password(username)
        password_hash = None if password is None else await self._passwords.hash(password)
        try:
            async with self._pool.transaction() as connection:
                before = await users.lock_user(connection, username)
                if before is None:
                    raise NotFound("user")
                if username != principal.username and not may_change(principal.scopes, before.roles):
                    raise PermissionDenied("only an admin may change a member of the staff")
                user = await users.update_user(connection, username, full_name=full_name, email=email)
                if email is not None:
                    await self._address_given(connection, principal, client, before, user)
                ended = (
                    []
                    if password_hash is None
                    else await self._set_password(connection, user, password_hash, client, principal.username)
                )
        except UniqueViolation as violation:
            raise taken(violation) from None
        self._verified.forget(username)
        self._revoke(ended)
        self._mail_waits()
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

    async def verify_email(self, client: Client, *, email_id: UUID, secret_code: str) -> None:
        """Prove an address with the code from the mail, once. Raises NotFound for anything else."""
        async with self._pool.transaction() as connection:
            username = await mailed_secrets.use_verification(connection, email_id, digest(secret_code))
            if username is None:
                raise NotFound("verification link")
            await security_events.append(connection, SecurityEventKind.EMAIL_VERIFIED, username, client)

    async def resend_verification(self, client: Client, *, email: str) -> None:
        """Mail another link, where one is wanting. Raises InvalidArgument, RateLimited; tells nothing else."""
        validation.check((("email", validation.email(email)),))
        await self._throttle.mail(client.address, email)
        answer_at = trio.current_time() + ANSWERED_AFTER_S
        async with self._pool.transaction() as connection:
            user = await users.find_by_email(connection, email)
            name = None if user is None else user.username
            await security_events.append(connection, SecurityEventKind.VERIFICATION_REQUESTED, name, client)
            if user is not None and not user.is_email_verified:
                await self._ask_to_verify(connection, user)
        self._mail_waits()
        await trio.sleep_until(answer_at)

    async def request_password_reset(self, client: Client, *, email: str) -> None:
        """Mail a link to choose a new password. Raises InvalidArgument, RateLimited; tells nothing else."""
        validation.check((("email", validation.email(email)),))
        await self._throttle.mail(client.address, email)
        answer_at = trio.current_time() + ANSWERED_AFTER_S
        async with self._pool.transaction() as connection:
            user = await users.find_by_email(connection, email)
            name = None if user is None else user.username
            await security_events.append(connection, SecurityEventKind.PASSWORD_RESET_REQUESTED, name, client)
            if user is not None:
                reset, secret_code = self._secret(user, RESET_LASTS)
                await mailed_secrets.insert_reset(connection, reset)
                await self._post(connection, reset_mail(self._sender, user, reset, secret_code))
        self._mail_waits()
        await trio.sleep_until(answer_at)

    async def confirm_password_reset(
        self, client: Client, *, reset_id: UUID, secret_code: str, password: str
    ) -> None:
        """Choose a new password with the code from the mail, once; ends every session.

        A password that is refused leaves the code good. Raises InvalidArgument, NotFound, RateLimited.
        """
        validation.check((("password", validation.password(password)),))
        await self._throttle.reset(client.address)
        password_hash = await self._passwords.hash(password)
        async with self._pool.transaction() as connection:
            username = await mailed_secrets.use_reset(connection, reset_id, digest(secret_code))
            user = None if username is None else await users.lock_user(connection, username)
            if user is None:
                raise NotFound("password reset")
            ended = await self._set_password(connection, user, password_hash, client, None)
        self._revoke(ended)
        self._mail_waits()
        await self._throttle.pardon(client.address, user.username)

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
            await self._post(connection, address_changed_mail(self._sender, before, at=self._now()))
        if not user.is_email_verified:
            await self._ask_to_verify(connection, user)

    async def _set_password(
        self, connection: Connection, user: User, password_hash: str, client: Client, actor: str | None
    ) -> list[UUID]:
        await users.set_password(connection, user.username, password_hash)
        await mailed_secrets.void_resets(connection, user.username)
        await security_events.append(
            connection, SecurityEventKind.PASSWORD_CHANGED, user.username, client, actor=actor
        )
        await self._post(connection, password_changed_mail(self._sender, user, at=self._now()))
        return await sessions.end_all(connection, user.username)

    async def _ask_to_verify(self, connection: Connection, user: User) -> None:
        verification, secret_code = self._secret(user, VERIFICATION_LASTS)
        await mailed_secrets.insert_verification(connection, verification)
        await self._post(connection, verification_mail(self._sender, user, verification, secret_code))

    def _secret(self, user: User, lasts: timedelta) -> tuple[MailedSecret, str]:
        secret_code, now = secrets.token_urlsafe(SECRET_BYTES), self._now()
        return MailedSecret(
            uuid4(), user.username, user.email, digest(secret_code), now, now + lasts
        ), secret_code

    async def _post(self, connection: Connection, mail: EmailMessage) -> None:
        await outbox.put(connection, mail["Subject"], self._seal.seal(mail))


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
