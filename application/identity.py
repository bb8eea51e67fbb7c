"""Everything about users: registration, reading, changing, verification, login.

Every operation authorises and validates for itself; transports only translate.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from application.mail import Seal, Sender, verification_mail
from application.passwords import Passwords
from application.tokens import ACCESS, REFRESH, IssuedToken, Tokens
from domain import validation
from domain.errors import AlreadyExists, NotFound, Unauthenticated
from domain.policy import Permission, Principal, Role
from domain.users import EmailVerification, Session, User
from persistence import outbox, users
from persistence.connection import Connection
from persistence.faults import UniqueViolation
from persistence.pool import Pool

log = logging.getLogger(__name__)

VERIFICATION_LASTS = timedelta(minutes=15)
CLIENT_TEXT_MAX = 200
"""Characters kept of a client's own description of itself."""


@dataclass(frozen=True, slots=True)
class Durations:
    """How long the two tokens of a session last."""

    access: timedelta
    refresh: timedelta


@dataclass(frozen=True, slots=True)
class Login:
    """A new session with its tokens."""

    session_id: UUID
    access: IssuedToken
    refresh: IssuedToken
    user: User


class Identity:
    """Called by transports. `mail_waits` is told when a mail was committed to the outbox."""

    def __init__(
        self,
        pool: Pool,
        *,
        tokens: Tokens,
        passwords: Passwords,
        seal: Seal,
        sender: Sender,
        durations: Durations,
        mail_waits: Callable[[], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._tokens = tokens
        self._passwords = passwords
        self._seal = seal
        self._sender = sender
        self._durations = durations
        self._mail_waits = mail_waits
        self._now = now

    async def create_user(self, *, username: str, password: str, full_name: str, email: str) -> User:
        """Register; a verification link is mailed. Raises InvalidArgument, AlreadyExists, Overloaded."""
        _check_new_user(username, password, full_name, email)
        password_hash = await self._passwords.hash(password)
        try:
            async with self._pool.transaction() as connection:
                user = await users.insert_user(connection, username, full_name, email, password_hash)
                await self._ask_to_verify(connection, user)
        except UniqueViolation as violation:
            raise _taken(violation) from None
        self._mail_waits()
        return user

    async def get_user(self, principal: Principal, username: str) -> User:
        """Oneself, or anybody for staff. Raises NotFound."""
        _check_may_see(principal, username, Permission.READ_ANY_USER)
        async with self._pool.connection() as connection:
            user = await users.find_user(connection, username)
        if user is None:
            raise NotFound("user")
        return user

    async def update_user(
        self,
        principal: Principal,
        username: str,
        *,
        full_name: str | None = None,
        email: str | None = None,
        password: str | None = None,
    ) -> User:
        """Change what is not None. A new address is unverified, and a link is mailed to it."""
        _check_may_see(principal, username, Permission.CHANGE_ANY_USER)
        validation.check(
            (
                ("full_name", None if full_name is None else validation.full_name(full_name)),
                ("email", None if email is None else validation.email(email)),
                ("password", None if password is None else validation.password(password)),
            )
        )
        password_hash = None if password is None else await self._passwords.hash(password)
        try:
            async with self._pool.transaction() as connection:
                user = await users.update_user(
                    connection, username, full_name=full_name, email=email, password_hash=password_hash
                )
                if user is None:
                    raise NotFound("user")
                if email is not None and not user.is_email_verified:
                    await self._ask_to_verify(connection, user)
        except UniqueViolation as violation:
            raise _taken(violation) from None
        self._mail_waits()
        return user

    async def verify_email(self, *, email_id: UUID, secret_code: str) -> None:
        """Prove an address with the code from the mail, once. Raises NotFound for anything else."""
        async with self._pool.connection() as connection:
            if not await users.use_verification(connection, email_id, _digest(secret_code)):
                raise NotFound("verification link")

    async def login(self, *, username: str, password: str, user_agent: str, client_address: str) -> Login:
        """Open a session. An unknown user and a wrong password are the same Unauthenticated, in equal time."""
        async with self._pool.connection() as connection:
            found = await users.find_credentials(connection, username)
        password_hash, user = found or (None, None)
        if not await self._passwords.verify(password_hash, password) or user is None:
            raise Unauthenticated("wrong username or password")
        session_id = uuid4()
        access = self._issue(ACCESS, user, session_id, self._durations.access)
        refresh = self._issue(REFRESH, user, session_id, self._durations.refresh)
        session = Session(
            session_id,
            user.username,
            _digest(refresh.token),
            user_agent[:CLIENT_TEXT_MAX],
            client_address,
            self._now(),
            refresh.expires_at,
        )
        async with self._pool.connection() as connection:
            await users.insert_session(connection, session)
        return Login(session_id, access, refresh, user)

    def _issue(self, typ: str, user: User, session_id: UUID, lasts: timedelta) -> IssuedToken:
        return self._tokens.issue(
            typ, username=user.username, roles=user.roles, session_id=session_id, lasts=lasts
        )

    async def _ask_to_verify(self, connection: Connection, user: User) -> None:
        secret_code = secrets.token_urlsafe(32)
        now = self._now()
        verification = EmailVerification(
            uuid4(), user.username, user.email, _digest(secret_code), now, now + VERIFICATION_LASTS
        )
        await users.insert_verification(connection, verification)
        minutes = int(VERIFICATION_LASTS.total_seconds() // 60)
        mail = verification_mail(self._sender, user, verification.id, secret_code, minutes=minutes)
        await outbox.put(connection, "verify_email", self._seal.seal(mail))


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
    """A new user with this one role, verified on the word of whoever runs the service.

    Raises InvalidArgument, AlreadyExists.
    """
    email = email or f"{username}@localhost.localdomain"
    full_name = full_name or username
    _check_new_user(username, password, full_name, email)
    password_hash = await passwords.hash(password)
    others = [each.value for each in Role if each != role]
    try:
        async with pool.transaction() as connection:
            await users.insert_user(connection, username, full_name, email, password_hash)
            await users.set_verified(connection, username)
            user = await users.change_roles(connection, username, add=[role], remove=others)
    except UniqueViolation as violation:
        raise _taken(violation) from None
    assert user is not None
    return user


async def bootstrap_admin(pool: Pool, passwords: Passwords, username: str, password: str) -> None:
    """Appoint an admin where there is none."""
    async with pool.connection() as connection:
        if await users.has_admin(connection):
            return
    try:
        await appoint(pool, passwords, username, Role.ADMIN, password)
    except AlreadyExists:  # another process was faster, or somebody registered under this name
        log.warning("the admin %s was not made: the name is taken", username)


def _check_new_user(username: str, password: str, full_name: str, email: str) -> None:
    validation.check(
        (
            ("username", validation.username(username)),
            ("password", validation.password(password)),
            ("full_name", validation.full_name(full_name)),
            ("email", validation.email(email)),
        )
    )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def _check_may_see(principal: Principal, username: str, permission: Permission) -> None:
    oneself = principal.username == username
    if not oneself and permission not in principal.permissions:
        raise NotFound("user")


def _taken(violation: UniqueViolation) -> AlreadyExists:
    what = "email" if violation.constraint == users.EMAIL_INDEX else "username"
    return AlreadyExists(f"this {what} is taken")
