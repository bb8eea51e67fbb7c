"""Sessions: login, renewal, logout. A session has one live refresh token at a time.

Renewal gives a new pair for the old one. A refresh token that comes a second time was stolen, from the owner
or from the thief, so it ends the session; of two renewals at once one is such a second time. The session's
end is fixed at login.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from application.identifiers import identifier
from application.keys import digest
from application.passwords import Passwords
from application.throttle import Throttle
from application.tokens import ACCESS, REFRESH, IssuedToken, Tokens
from domain import validation
from domain.errors import Code, NotFound, Overloaded, PermissionDenied, Unauthenticated
from domain.policy import Operation, Principal, check
from domain.users import Client, SecurityEventKind, Session, User
from persistence import security_events, sessions, users
from persistence.pool import Pool

SESSIONS_MAX = 100
"""Of one user; a login beyond it ends the session that has been unused for longest."""
NOBODYS = "-"
"""Stands for every name that no user can have."""


@dataclass(frozen=True, slots=True)
class Durations:
    """How long an access token lasts, and a session."""

    access: timedelta
    refresh: timedelta


@dataclass(frozen=True, slots=True)
class Login:
    """A session with its newest tokens."""

    session_id: UUID
    access: IssuedToken
    refresh: IssuedToken
    user: User


class Sessions:
    """Called by transports. What ends sessions tells `revoke` which, once it is committed."""

    def __init__(
        self,
        pool: Pool,
        *,
        tokens: Tokens,
        passwords: Passwords,
        throttle: Throttle,
        durations: Durations,
        revoke: Callable[[Collection[UUID]], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._tokens = tokens
        self._passwords = passwords
        self._throttle = throttle
        self._durations = durations
        self._revoke = revoke
        self._now = now

    async def login(self, client: Client, *, username: str, password: str) -> Login:
        """Open a session.

        An unknown user and a wrong password are the same Unauthenticated, in equal time. A disabled user with
        the right password is PermissionDenied. Raises RateLimited, Overloaded.
        """
        if validation.username(username) is not None:
            username = NOBODYS
        async with self._throttle.turn(client.address, username):
            return await self._login(client, username, password)

    async def _login(self, client: Client, username: str, password: str) -> Login:
        tries = await self._throttle.login(client.address, username)
        async with self._pool.connection() as connection:
            found = await users.find_credentials(connection, username)
            known_here = await security_events.has_come_from(connection, username, client.address)
        if not known_here:
            tries = [*tries, *await self._throttle.login_from_afar(username)]
        password_hash, user = found or (None, None)
        try:
            matches = await self._passwords.verify(password_hash, password)
        except Overloaded:  # nothing was tried
            await self._throttle.forgive(tries)
            raise
        login = await self._open(client, user) if matches and user is not None and user.roles else None
        if login is None:
            async with self._pool.connection() as connection:
                await security_events.append(connection, SecurityEventKind.LOGIN_FAILED, username, client)
            if matches and user is not None and not user.roles:
                raise PermissionDenied("this user is disabled")
            raise Unauthenticated("wrong username or password")
        await self._throttle.forgive(tries)
        return login

    async def _open(self, client: Client, user: User) -> Login | None:
        now = self._now()
        login = self._issued(user, uuid4(), now + self._durations.refresh)
        session = Session(
            login.session_id,
            user.username,
            digest(login.refresh.token),
            client.user_agent,
            client.address,
            created_at=now,
            last_used_at=now,
            expires_at=login.refresh.expires_at,
        )
        async with self._pool.transaction() as connection:
            if not await sessions.insert(connection, session, user):
                return None
            ended = await sessions.end_longest_unused(connection, session, kept=SESSIONS_MAX)
            await security_events.append(
                connection, SecurityEventKind.LOGIN, user.username, client, actor=user.username
            )
        self._revoke(ended)
        return login

    async def renew(self, client: Client, *, refresh_token: str) -> Login:
        """A new pair of tokens for the session's newest refresh token. Raises Unauthenticated."""
        claims = self._tokens.verify(refresh_token, REFRESH)
        # Made before its place is free; that it carries the roles of the login is of no account.
        refresh = self._refresh(claims.username, claims.roles, claims.session_id, claims.expires_at)
        used, following = digest(refresh_token), digest(refresh.token)
        async with self._pool.transaction() as connection:
            rotation = sessions.Rotation(claims.session_id, used, following, client.user_agent, client.address)
            user = await sessions.rotate(connection, rotation)
            reused_by = None
            if user is None:
                reused_by = await sessions.end_reused(connection, claims.session_id, used)
            if reused_by is not None:
                await security_events.append(
                    connection,
                    SecurityEventKind.REFRESH_REUSED,
                    reused_by,
                    client,
                    detail=f"session {claims.session_id}",
                )
        if user is None:
            self._revoke([claims.session_id])
            raise Unauthenticated("the session has ended", Code.SESSION_REVOKED)
        return Login(
            claims.session_id, self._access(user, claims.session_id, refresh.expires_at), refresh, user
        )

    async def logout(self, principal: Principal, client: Client, *, everywhere: bool = False) -> None:
        """End the session that the caller's token is of, or every one of the caller's."""
        check(principal, Operation.LOGOUT_USER)
        name = principal.username
        async with self._pool.transaction() as connection:
            ended = [principal.session_id]
            if everywhere:
                ended += await sessions.end_all(connection, name)
            else:
                await sessions.end_own(connection, principal.session_id, name)
            detail = "everywhere" if everywhere else f"session {principal.session_id}"
            await security_events.append(
                connection, SecurityEventKind.LOGOUT, name, client, actor=name, detail=detail
            )
        self._revoke(ended)

    async def list_active(self, principal: Principal) -> list[Session]:
        """The caller's sessions, last used first, `SESSIONS_MAX` at most."""
        check(principal, Operation.LIST_SESSIONS)
        async with self._pool.connection() as connection:
            return await sessions.list_active(connection, principal.username, limit=SESSIONS_MAX)

    async def end(self, principal: Principal, client: Client, session: str) -> None:
        """End one of the caller's sessions. Raises NotFound, also for somebody else's."""
        check(principal, Operation.REVOKE_SESSION)
        name, session_id = principal.username, identifier(session, "session")
        async with self._pool.transaction() as connection:
            if not await sessions.end_own(connection, session_id, name):
                raise NotFound("session")
            await security_events.append(
                connection,
                SecurityEventKind.SESSION_REVOKED,
                name,
                client,
                actor=name,
                detail=f"session {session_id}",
            )
        self._revoke([session_id])

    def _issued(self, user: User, session_id: UUID, ends_at: datetime) -> Login:
        refresh = self._refresh(user.username, user.roles, session_id, ends_at)
        return Login(session_id, self._access(user, session_id, refresh.expires_at), refresh, user)

    def _refresh(
        self, username: str, roles: Collection[str], session_id: UUID, ends_at: datetime
    ) -> IssuedToken:
        return self._tokens.issue(
            REFRESH, username=username, roles=tuple(roles), session_id=session_id, expires_at=ends_at
        )

    def _access(self, user: User, session_id: UUID, session_ends_at: datetime) -> IssuedToken:
        ends_at = min(self._now() + self._durations.access, session_ends_at)
        return self._tokens.issue(
            ACCESS, username=user.username, roles=user.roles, session_id=session_id, expires_at=ends_at
        )
