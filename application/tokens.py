"""Access and refresh tokens: PASETO v4.local and JWT (HS256), side by side with the same claims.

What is issued is a setting; both are accepted. The verifier is chosen by the token's own prefix, never by
what its header wishes, each format has a key of its own, and a token is only ever good for its `typ`.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import jwt
import pyseto

from application.keys import derive
from domain.errors import Code, Unauthenticated
from domain.policy import Principal, permissions

ACCESS: Final = "access"
REFRESH: Final = "refresh"
ISSUER: Final = "transactions"
AUDIENCE: Final = "transactions"
TOKEN_MAX_BYTES: Final = 4096
LEEWAY_S: Final = 30
VERIFIED_MAX: Final = 10_000
"""Opened tokens remembered."""
CLAIMS: Final = ("sub", "roles", "sid", "jti", "typ", "iss", "aud", "iat", "nbf", "exp")
_PASETO_PREFIX: Final = "v4.local."
_JWT_ALGORITHM: Final = "HS256"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says."""

    username: str
    roles: tuple[str, ...]
    session_id: UUID
    token_id: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token and when it ends."""

    token: str
    expires_at: datetime


class Tokens:
    """Issues and verifies. `now` gives the time in UTC."""

    def __init__(
        self, secret: bytes, *, issue: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        if issue not in ("paseto", "jwt"):
            raise ValueError(f"unknown token format {issue!r}")
        self._issue = issue
        self._now = now
        self._verified: OrderedDict[bytes, tuple[float, Claims]] = OrderedDict()
        self._jwt_key = derive(secret, "jwt")
        self._paseto_key = pyseto.Key.new(version=4, purpose="local", key=derive(secret, "paseto"))

    def issue(
        self, typ: str, *, username: str, roles: list[str], session_id: UUID, lasts: timedelta
    ) -> IssuedToken:
        """A new token of this `typ`, good from now on and for as long as it `lasts`."""
        issued_at = int(self._now().timestamp())
        expires_at = issued_at + int(lasts.total_seconds())
        claims = {
            "sub": username,
            "roles": roles,
            "sid": str(session_id),
            "jti": str(uuid4()),
            "typ": typ,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": issued_at,
            "nbf": issued_at,
            "exp": expires_at,
        }
        if self._issue == "jwt":
            token = jwt.encode(claims, self._jwt_key, algorithm=_JWT_ALGORITHM)
        else:
            token = pyseto.encode(self._paseto_key, payload=json.dumps(claims).encode()).decode()
        return IssuedToken(token, datetime.fromtimestamp(expires_at, UTC))

    def verify(self, token: str, typ: str) -> Claims:
        """The claims of a token of this `typ`; raises Unauthenticated with the reason as its code.

        A token is opened once and remembered, by its hash, until it expires.
        """
        if len(token) > TOKEN_MAX_BYTES or not token.isascii():
            raise _invalid()
        digest = hashlib.blake2b(token.encode(), digest_size=32, person=typ.encode()).digest()
        known = self._verified.get(digest)
        if known is not None and known[0] > self._now().timestamp():
            return known[1]
        claims = self._open_paseto(token) if token.startswith(_PASETO_PREFIX) else self._open_jwt(token)
        checked = self._checked(claims, typ)
        self._verified[digest] = (checked.expires_at.timestamp(), checked)
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)
        return checked

    def _open_paseto(self, token: str) -> dict[str, Any]:
        if token.count(".") != 2:  # a footer is nothing of ours
            raise _invalid()
        try:
            payload: Any = pyseto.decode(self._paseto_key, token).payload
            claims = json.loads(payload)
        except (pyseto.PysetoError, ValueError):
            raise _invalid() from None
        return claims if isinstance(claims, dict) else {}

    def _open_jwt(self, token: str) -> dict[str, Any]:
        claims = ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
        unchecked: Any = {f"verify_{claim}": False for claim in claims}  # by us, as for PASETO
        try:
            return jwt.decode(token, self._jwt_key, algorithms=[_JWT_ALGORITHM], options=unchecked)
        except jwt.PyJWTError:
            raise _invalid() from None

    def _checked(self, claims: dict[str, Any], typ: str) -> Claims:
        now = self._now().timestamp()
        if any(claim not in claims for claim in CLAIMS):
            raise _invalid()
        times = (claims["iat"], claims["nbf"], claims["exp"])
        if any(type(time) is not int for time in times):
            raise _invalid()
        issued_at, not_before, expires_at = times
        if (claims["typ"], claims["iss"], claims["aud"]) != (typ, ISSUER, AUDIENCE):
            raise _invalid()
        if issued_at > now + LEEWAY_S or not_before > now + LEEWAY_S:
            raise _invalid()
        if expires_at <= now - LEEWAY_S:
            raise Unauthenticated("the token has expired", Code.TOKEN_EXPIRED)
        try:
            return Claims(
                str(claims["sub"]),
                tuple(map(str, claims["roles"])),
                UUID(claims["sid"]),
                UUID(claims["jti"]),
                datetime.fromtimestamp(expires_at, UTC),
            )
        except (TypeError, ValueError, AttributeError):
            raise _invalid() from None


def authenticate(tokens: Tokens, authorization: str | None) -> Principal:
    """Who sent this `authorization` header; raises Unauthenticated."""
    if authorization is None:
        raise Unauthenticated("an access token is needed")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("the authorization header must be: Bearer <token>")
    claims = tokens.verify(token, ACCESS)
    return Principal(claims.username, permissions(claims.roles), claims.session_id)


def _invalid() -> Unauthenticated:
    return Unauthenticated("the token is not valid", Code.INVALID_TOKEN)
