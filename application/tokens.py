"""Access and refresh tokens: PASETO v4.local and JWT (HS256), side by side with the same claims.

What is issued is a setting; both are accepted. Every key has one purpose, a format and a type of token, and an
id that stands in the token's clear part: in the header of a JWT, in the footer of a PASETO. That part is never
parsed. It must be, byte for byte, one that we write ourselves, and so says which key to use; whatever else a
header may wish for (another algorithm, a key of its own, a path) is simply unknown.
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import jwt
import pyseto

from application.keys import derive
from domain.errors import Code, Unauthenticated

ACCESS: Final = "access"
REFRESH: Final = "refresh"
ISSUER: Final = "transactions"
AUDIENCE: Final = "transactions"
TOKEN_MAX_BYTES: Final = 4096
LEEWAY_S: Final = 30
VERIFIED_MAX: Final = 10_000
"""Opened tokens remembered."""
CLAIMS: Final = frozenset({"sub", "roles", "sid", "jti", "typ", "iss", "aud", "iat", "nbf", "exp"})
_PASETO_PREFIX: Final = "v4.local."
_JWT_ALGORITHM: Final = "HS256"


class Claims(NamedTuple):
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


class PasetoKey:
    """One key for one type of token. `mark` is the clear part of every token made with it: the footer."""

    def __init__(self, secret: bytes, typ: str) -> None:
        self.typ = typ
        self._key = pyseto.Key.new(version=4, purpose="local", key=derive(secret, f"paseto/{typ}"))
        self._footer = json.dumps({"kid": self._key.to_paserk_id()}).encode()
        self.mark = self.encode(b"").rpartition(".")[2]

    def encode(self, payload: bytes) -> str:
        """A token with this payload."""
        return pyseto.encode(self._key, payload=payload, footer=self._footer).decode()

    def decode(self, token: str) -> bytes:
        """The payload of a genuine token; raises Unauthenticated."""
        try:
            payload = pyseto.decode(self._key, token).payload
        except (pyseto.PysetoError, ValueError):
            raise _invalid() from None
        assert isinstance(payload, bytes)
        return payload


class JwtKey:
    """One key for one type of token. `mark` is the clear part of every token made with it: the header."""

    def __init__(self, secret: bytes, typ: str) -> None:
        self.typ = typ
        self._key = derive(secret, f"jwt/{typ}")
        self._id = derive(secret, f"jwt/{typ}/id")[:16].hex()
        self._jws = jwt.PyJWS(algorithms=[_JWT_ALGORITHM])
        self.mark = self.encode(b"").partition(".")[0]

    def encode(self, payload: bytes) -> str:
        """A token with this payload."""
        return self._jws.encode(payload, self._key, _JWT_ALGORITHM, headers={"kid": self._id})

    def decode(self, token: str) -> bytes:
        """The payload of a genuine token; raises Unauthenticated."""
        try:
            payload = self._jws.decode(token, self._key, algorithms=[_JWT_ALGORITHM])
        except jwt.PyJWTError:
            raise _invalid() from None
        assert isinstance(payload, bytes)
        return payload


class Tokens:
    """Issues and verifies. The first of the `secrets` issues, all of them verify; `now` gives the time in UTC."""

    def __init__(
        self, secrets: Sequence[bytes], *, issue: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        if issue not in ("paseto", "jwt"):
            raise ValueError(f"unknown token format {issue!r}")
        self._now = now
        self._verified: OrderedDict[bytes, tuple[float, Claims]] = OrderedDict()
        keys = [
            (kind(secret, typ))
            for secret in secrets
            for typ in (ACCESS, REFRESH)
            for kind in (PasetoKey, JwtKey)
        ]
        self._keys: dict[str, PasetoKey | JwtKey] = {key.mark: key for key in keys}
        issuing = JwtKey if issue == "jwt" else PasetoKey
        self._issuing = {key.typ: key for key in reversed(keys) if isinstance(key, issuing)}

    def issue(
        self, typ: str, *, username: str, roles: Sequence[str], session_id: UUID, expires_at: datetime
    ) -> IssuedToken:
        """A new token of this `typ`, good from now on."""
        issued_at, ends_at = int(self._now().timestamp()), int(expires_at.timestamp())
        claims = {
            "sub": username,
            "roles": list(roles),
            "sid": str(session_id),
            "jti": str(uuid4()),
            "typ": typ,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": issued_at,
            "nbf": issued_at,
            "exp": ends_at,
        }
        token = self._issuing[typ].encode(json.dumps(claims).encode())
        return IssuedToken(token, datetime.fromtimestamp(ends_at, UTC))

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
        claims = self._checked(_parsed(self._opened(token, typ)), typ)
        self._verified[digest] = (claims.expires_at.timestamp(), claims)
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)
        return claims

    def _opened(self, token: str, typ: str) -> bytes:
        paseto = token.startswith(_PASETO_PREFIX)
        parts = token.removeprefix(_PASETO_PREFIX).split(".")
        if len(parts) != (2 if paseto else 3) or not all(map(_is_canonical, parts)):
            raise _invalid()
        key = self._keys.get(parts[-1] if paseto else parts[0])
        if key is None or key.typ != typ or isinstance(key, PasetoKey) is not paseto:
            raise _invalid()
        return key.decode(token)

    def _checked(self, claims: dict[str, Any], typ: str) -> Claims:
        now = self._now().timestamp()
        if claims.keys() != CLAIMS or (claims["typ"], claims["iss"], claims["aud"]) != (typ, ISSUER, AUDIENCE):
            raise _invalid()
        times = (claims["iat"], claims["nbf"], claims["exp"])
        texts = [claims["sub"], *(claims["roles"] if isinstance(claims["roles"], list) else [None])]
        if any(type(time) is not int for time in times) or any(type(text) is not str for text in texts):
            raise _invalid()
        issued_at, not_before, expires_at = times
        if issued_at > now + LEEWAY_S or not_before > now + LEEWAY_S:
            raise _invalid()
        if expires_at <= now - LEEWAY_S:
            raise Unauthenticated("the token has expired", Code.TOKEN_EXPIRED)
        try:
            return Claims(
                claims["sub"],
                tuple(claims["roles"]),
                UUID(claims["sid"]),
                UUID(claims["jti"]),
                datetime.fromtimestamp(expires_at, UTC),
            )
        except (TypeError, ValueError, AttributeError, OverflowError):
            raise _invalid() from None


def _is_canonical(part: str) -> bool:
    """Whether this is base64url as RFC 7515 writes it: decoders let other spellings of the same bytes pass."""
    try:
        return urlsafe_b64encode(urlsafe_b64decode(part + "=" * (-len(part) % 4))).rstrip(b"=") == part.encode()
    except ValueError:
        return False


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(payload, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        raise _invalid() from None
    return claims if isinstance(claims, dict) else {}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _invalid() -> Unauthenticated:
    return Unauthenticated("the token is not valid", Code.INVALID_TOKEN)
