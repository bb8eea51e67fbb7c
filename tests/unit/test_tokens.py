"""Tokens of both formats: what is accepted, and what never is."""

from __future__ import annotations

import base64
import json
import warnings
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
import pyseto
import pytest

from application.keys import derive
from application.tokens import ACCESS, REFRESH, Tokens, authenticate
from domain.errors import Code, Unauthenticated
from domain.policy import Permission

SECRET = bytes(range(32))
SESSION = uuid4()


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def issued(tokens: Tokens, typ: str = ACCESS, **changes) -> str:
    options = {
        "username": "alice",
        "roles": ["depositor"],
        "session_id": SESSION,
        "lasts": timedelta(minutes=15),
    }
    return tokens.issue(typ, **{**options, **changes}).token


def code_of(tokens: Tokens, token: str, typ: str = ACCESS) -> Code:
    with pytest.raises(Unauthenticated) as caught:
        tokens.verify(token, typ)
    return caught.value.code


@pytest.mark.parametrize("format_", ["paseto", "jwt"])
def test_both_formats_are_accepted_whichever_is_issued(clock, format_):
    token = issued(Tokens(SECRET, issue=format_, now=clock))
    for other in ("paseto", "jwt"):
        claims = Tokens(SECRET, issue=other, now=clock).verify(token, ACCESS)
        assert (claims.username, claims.roles, claims.session_id) == ("alice", ("depositor",), SESSION)


@pytest.mark.parametrize("format_", ["paseto", "jwt"])
def test_a_token_is_good_for_its_typ_only_also_when_remembered(clock, format_):
    tokens = Tokens(SECRET, issue=format_, now=clock)
    access, refresh = issued(tokens), issued(tokens, REFRESH)
    for _ in range(2):
        tokens.verify(access, ACCESS)
        tokens.verify(refresh, REFRESH)
        assert code_of(tokens, access, REFRESH) == Code.INVALID_TOKEN
        assert code_of(tokens, refresh, ACCESS) == Code.INVALID_TOKEN


@pytest.mark.parametrize("format_", ["paseto", "jwt"])
def test_a_token_expires_also_when_remembered(clock, format_):
    tokens = Tokens(SECRET, issue=format_, now=clock)
    token = issued(tokens)
    tokens.verify(token, ACCESS)
    clock.now += timedelta(minutes=15, seconds=31)
    assert code_of(tokens, token) == Code.TOKEN_EXPIRED
    clock.now -= timedelta(hours=1)
    assert code_of(Tokens(SECRET, issue=format_, now=clock), token) == Code.INVALID_TOKEN


@pytest.mark.parametrize("format_", ["paseto", "jwt"])
def test_another_secret_or_a_changed_token_is_refused(clock, format_):
    tokens = Tokens(SECRET, issue=format_, now=clock)
    token = issued(tokens)
    assert code_of(Tokens(bytes(32), issue=format_, now=clock), token) == Code.INVALID_TOKEN
    middle = len(token) // 2
    flipped = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    assert code_of(tokens, flipped) == Code.INVALID_TOKEN


def claims_of(clock, **changes) -> dict[str, object]:
    now = int(clock().timestamp())
    claims = {
        "sub": "alice",
        "roles": ["banker"],
        "sid": str(SESSION),
        "jti": str(uuid4()),
        "typ": "access",
        "iss": "transactions",
        "aud": "transactions",
        "iat": now,
        "nbf": now,
        "exp": now + 60,
    }
    return {name: value for name, value in {**claims, **changes}.items() if value is not ...}


MISSING = [{name: ...} for name in claims_of(Clock())]
WRONG = [
    {"iss": "somebody"},
    {"aud": "else"},
    {"typ": "mail"},
    {"exp": "2099"},
    {"exp": True},
    {"sid": "no uuid"},
    {"roles": 7},
    {"nbf": 4_000_000_000},
    {"iat": 4_000_000_000},
]


@pytest.mark.parametrize("changes", MISSING + WRONG, ids=str)
def test_missing_or_wrong_claims_are_refused_in_both_formats(clock, changes):
    tokens = Tokens(SECRET, issue="paseto", now=clock)
    claims = claims_of(clock, **changes)
    key = pyseto.Key.new(version=4, purpose="local", key=derive(SECRET, "paseto"))
    paseto = pyseto.encode(key, payload=json.dumps(claims).encode()).decode()
    signed = jwt.encode(claims, derive(SECRET, "jwt"), algorithm="HS256")
    assert code_of(tokens, paseto) == code_of(tokens, signed) == Code.INVALID_TOKEN


def test_algorithms_keys_and_versions_of_others_are_refused(clock):
    tokens = Tokens(SECRET, issue="jwt", now=clock)
    claims = claims_of(clock)
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    with warnings.catch_warnings(action="ignore"):  # the attacker's key is short for the algorithm
        other_algorithm = jwt.encode(claims, derive(SECRET, "jwt"), algorithm="HS384")
    attacks = [
        other_algorithm,
        f"{none}.{part}.",
        jwt.encode(claims, derive(SECRET, "paseto"), algorithm="HS256"),
        pyseto.encode(
            pyseto.Key.new(version=4, purpose="local", key=derive(SECRET, "jwt")), json.dumps(claims).encode()
        ).decode(),
        pyseto.encode(
            pyseto.Key.new(version=3, purpose="local", key=derive(SECRET, "paseto")),
            json.dumps(claims).encode(),
        ).decode(),
        issued(Tokens(SECRET, issue="paseto", now=clock)) + ".Zm9vdGVy",
        "v4.public." + part,
        "x" * 5_000,
        "é",
        "",
    ]
    for attack in attacks:
        assert code_of(tokens, attack) == Code.INVALID_TOKEN, attack[:40]


def test_authenticate_turns_roles_into_permissions(clock):
    tokens = Tokens(SECRET, issue="paseto", now=clock)
    principal = authenticate(tokens, f"Bearer {issued(tokens, roles=['banker', 'unheard-of'])}")
    assert Permission.MOVE_BANK_MONEY in principal.permissions
    assert Permission.MOVE_OWN_MONEY not in principal.permissions
    for header in (None, "", "Bearer", "Bearer ", "Token x"):
        with pytest.raises(Unauthenticated):
            authenticate(tokens, header)
