"""Tokens of both formats: what is accepted, and what never is."""

from __future__ import annotations

import base64
import json
import string
import warnings
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import jwt
import pyseto
import pytest

from application.authentication import Authenticator
from application.keys import derive
from application.tokens import ACCESS, REFRESH, JwtKey, PasetoKey, Tokens
from domain.errors import Code, Unauthenticated
from domain.policy import Operation, Scope

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
        "expires_at": tokens._now() + timedelta(minutes=15),
    }
    return tokens.issue(typ, **{**options, **changes}).token


def code_of(tokens: Tokens, token: str, typ: str = ACCESS) -> Code:
    with pytest.raises(Unauthenticated) as caught:
        tokens.verify(token, typ)
    return caught.value.code


@pytest.mark.parametrize("format_", ["paseto", "jwt"])
def test_both_formats_are_accepted_whichever_is_issued(clock, format_):
    token = issued(Tokens([SECRET], issue=format_, now=clock))
    for other in ("paseto", "jwt"):
        claims = Tokens([SECRET], issue=other, now=clock).verify(token, ACCESS)
        assert (claims.username, claims.roles, claims.session_id) == ("alice", ("depositor",), SESSION)


@pytest.mark.parametrize("format_", ["paseto", "jwt"])
def test_a_token_is_good_for_its_typ_only_also_when_remembered(clock, format_):
    tokens = Tokens([SECRET], issue=format_, now=clock)
    access, refresh = issued(tokens), issued(tokens, REFRESH)
    for _ in range(2):
        tokens.verify(access, ACCESS)
        tokens.verify(refresh, REFRESH)
        assert code_of(tokens, access, REFRESH) == Code.INVALID_TOKEN
        assert code_of(tokens, refresh, ACCESS) == Code.INVALID_TOKEN


@pytest.mark.parametrize("format_", ["paseto", "jwt"])
def test_a_token_expires_also_when_remembered(clock, format_):
    tokens = Tokens([SECRET], issue=format_, now=clock)
    token = issued(tokens)
    tokens.verify(token, ACCESS)
    clock.now += timedelta(minutes=15, seconds=31)
    assert code_of(tokens, token) == Code.TOKEN_EXPIRED
    clock.now -= timedelta(hours=1)
    assert code_of(Tokens([SECRET], issue=format_, now=clock), token) == Code.INVALID_TOKEN


@pytest.mark.parametrize("format_", ["paseto", "jwt"])
def test_another_secret_or_a_changed_token_is_refused(clock, format_):
    tokens = Tokens([SECRET], issue=format_, now=clock)
    token = issued(tokens)
    assert code_of(Tokens([bytes(32)], issue=format_, now=clock), token) == Code.INVALID_TOKEN
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
    tokens = Tokens([SECRET], issue="paseto", now=clock)
    claims = claims_of(clock, **changes)
    paseto, signed = (key(SECRET, ACCESS).encode(json.dumps(claims).encode()) for key in (PasetoKey, JwtKey))
    assert code_of(tokens, paseto) == code_of(tokens, signed) == Code.INVALID_TOKEN


@pytest.mark.parametrize(
    ("claim", "good_s", "bad_s", "code"),
    [
        ("exp", -29, -30, Code.TOKEN_EXPIRED),
        ("nbf", 30, 31, Code.INVALID_TOKEN),
        ("iat", 30, 31, Code.INVALID_TOKEN),
    ],
)
def test_clocks_may_differ_by_thirty_seconds_and_no_more(clock, claim, good_s, bad_s, code):
    tokens, now = Tokens([SECRET], issue="paseto", now=clock), int(clock().timestamp())
    for key in (PasetoKey, JwtKey):
        good, bad = (
            key(SECRET, ACCESS).encode(json.dumps(claims_of(clock, **{claim: now + seconds})).encode())
            for seconds in (good_s, bad_s)
        )
        assert tokens.verify(good, ACCESS).username == "alice"
        assert code_of(tokens, bad) == code


def test_what_is_forged_here_would_be_good_if_it_were_right(clock):
    for key in (PasetoKey, JwtKey):
        token = key(SECRET, ACCESS).encode(json.dumps(claims_of(clock)).encode())
        assert Tokens([SECRET], issue="jwt", now=clock).verify(token, ACCESS).username == "alice"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"nonsense",
        b"[" * 2_000,
        b'{"sub": "alice", "sub": "bob"}',
        json.dumps(claims_of(Clock()) | {"admin": True}).encode(),
        json.dumps(claims_of(Clock())).encode()[:-1] + b', "roles": ["admin"]}',
    ],
)
def test_a_payload_must_be_exactly_ours(clock, payload):
    tokens = Tokens([SECRET], issue="paseto", now=clock)
    for key in (PasetoKey, JwtKey):
        assert code_of(tokens, key(SECRET, ACCESS).encode(payload)) == Code.INVALID_TOKEN


def header(**members) -> str:
    return base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()


def test_algorithms_keys_and_versions_of_others_are_refused(clock):
    tokens = Tokens([SECRET], issue="jwt", now=clock)
    payload = json.dumps(claims_of(clock)).encode()
    good_jwt, good_paseto = JwtKey(SECRET, ACCESS).encode(payload), PasetoKey(SECRET, ACCESS).encode(payload)
    head, body, signature = good_jwt.split(".")
    jwt_key, paseto_key = derive(SECRET, "jwt/access"), derive(SECRET, "paseto/access")

    def v3(key: bytes) -> pyseto.KeyInterface:
        return pyseto.Key.new(version=3, purpose="local", key=key)

    with warnings.catch_warnings(action="ignore"):  # the attacker's key is short for the algorithm
        other_algorithm = jwt.encode(claims_of(clock), jwt_key, algorithm="HS384")
    attacks = [
        other_algorithm,
        f"{header(alg='none', typ='JWT')}.{body}.",
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{body}.{signature}=",
        f"{head}.{body}.{signature[:-1]}",
        jwt.encode(claims_of(clock), jwt_key, algorithm="HS256"),  # without our key's id
        *(
            jwt.encode(claims_of(clock), jwt_key, algorithm="HS256", headers={"kid": kid})
            for kid in ("", "../../dev/null", "' or 1=1 --", "x" * 500)
        ),
        jwt.encode(
            claims_of(clock), b"k" * 32, algorithm="HS256", headers={"jwk": {"kty": "oct"}, "jku": "http://x"}
        ),
        pyseto.encode(v3(paseto_key), payload).decode(),
        pyseto.encode(pyseto.Key.new(version=4, purpose="local", key=paseto_key), payload).decode(),
        good_paseto.rpartition(".")[0]
        + "."
        + base64.urlsafe_b64encode(b'{"kid": "other"}').decode().rstrip("="),
        good_paseto + ".Zm9vdGVy",
        "v4.public." + body,
        good_paseto.removeprefix("v4.local."),
        "v4.local." + good_jwt,
        "x" * 5_000,
        "é",
        "",
    ]
    for attack in attacks:
        assert code_of(tokens, attack) == Code.INVALID_TOKEN, attack[:60]


@pytest.mark.parametrize("key", [PasetoKey, JwtKey])
def test_no_other_spelling_of_a_token_is_accepted(clock, key):
    tokens = Tokens([SECRET], issue="paseto", now=clock)
    token = key(SECRET, ACCESS).encode(json.dumps(claims_of(clock)).encode())
    alphabet = string.ascii_letters + string.digits + "-_=."
    for at in range(len(token)):
        for other in (alphabet[(alphabet.index(token[at]) + 1) % len(alphabet)], "", token[at] + "!"):
            changed = token[:at] + other + token[at + 1 :]
            assert code_of(tokens, changed) == Code.INVALID_TOKEN, at


def test_a_retired_key_still_opens_what_it_made_and_makes_nothing_new(clock):
    old, new = bytes(32), SECRET
    for format_ in ("paseto", "jwt"):
        token = issued(Tokens([old], issue=format_, now=clock))
        both = Tokens([new, old], issue=format_, now=clock)
        assert both.verify(token, ACCESS).username == "alice"
        assert Tokens([new], issue=format_, now=clock).verify(issued(both), ACCESS)
        assert code_of(Tokens([new], issue=format_, now=clock), token) == Code.INVALID_TOKEN


def test_no_two_keys_are_the_same():
    tokens = Tokens([SECRET, bytes(32)], issue="jwt")
    assert len(tokens._keys) == 8
    assert len({getattr(key._key, "_key", key._key) for key in tokens._keys.values()}) == 8


def test_who_sent_a_request_is_told_by_one_header_alone(clock):
    tokens = Tokens([SECRET], issue="paseto", now=clock)
    revoked: set[UUID] = set()
    authenticator = Authenticator(tokens, revoked.__contains__, now=clock)
    good = f"Bearer {issued(tokens, roles=['banker', 'unheard-of'])}"
    principal = authenticator.principal([good])
    assert principal.scopes[Operation.DEPOSIT] is Scope.ANY
    assert Operation.CREATE_TRANSFER not in principal.scopes
    for headers in ([], [""], ["Bearer"], ["Bearer "], ["Token x"], [good, good]):
        with pytest.raises(Unauthenticated):
            authenticator.principal(headers)
    revoked.add(SESSION)
    with pytest.raises(Unauthenticated) as caught:
        authenticator.principal([good])
    assert caught.value.code == Code.SESSION_REVOKED
