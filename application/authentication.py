"""Who makes a request: the one way from an `authorization` header to a principal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from application.tokens import ACCESS, LEEWAY_S, Tokens
from domain.errors import Code, Unauthenticated
from domain.policy import Principal, scopes


class Authenticator:
    """`is_revoked` says whether a session has been ended."""

    def __init__(
        self,
        tokens: Tokens,
        is_revoked: Callable[[UUID], bool],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tokens = tokens
        self._is_revoked = is_revoked
        self._now = now

    def principal(self, authorization: Sequence[str]) -> Principal:
        """Who sent these `authorization` headers, of which there must be one; raises Unauthenticated."""
        if not authorization:
            raise Unauthenticated("an access token is needed")
        if len(authorization) > 1:
            raise Unauthenticated("there is more than one authorization header")
        scheme, _, token = authorization[0].partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("the authorization header must be: Bearer <token>")
        claims = self._tokens.verify(token, ACCESS)
        principal = Principal(claims.username, scopes(claims.roles), claims.session_id, claims.expires_at)
        self._check_not_revoked(principal)
        return principal

    def check_session(self, principal: Principal) -> None:
        """Whether the caller of a call that takes long would still be let in; raises Unauthenticated."""
        self._check_not_revoked(principal)
        if self._now() >= principal.expires_at + timedelta(seconds=LEEWAY_S):
            raise Unauthenticated("the token has expired", Code.TOKEN_EXPIRED)

    def _check_not_revoked(self, principal: Principal) -> None:
        if self._is_revoked(principal.session_id):
            raise Unauthenticated("the session has ended", Code.SESSION_REVOKED)
