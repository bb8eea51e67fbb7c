"""Forged, altered, misplaced and oversized tokens against the running service: all are refused, on both transports.

Whatever is forged here is made of a token that would be good, by one change: with the service's own key where
the change is in what is signed, so that nothing but the change can be what it is refused for.
"""

from __future__ import annotations

import base64
import hmac
import json
import string
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pyseto
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from application import tokens
from application.keys import derive
from application.tokens import ACCESS, REFRESH, TOKEN_MAX_BYTES, JwtKey, PasetoKey, Tokens
from domain.errors import Unauthenticated
from tests.attacks.clients import OK, Answer, Client, Clients, Login, bearer, mailed, serving
from tests.support.service import PASSWORD

SECRET = bytes(range(32))
NEW_PASSWORD = "another horse battery"
PURPOSES = {
    ("jwt", ACCESS): "jwt/access",
    ("jwt", REFRESH): "jwt/refresh",
    ("paseto", ACCESS): "paseto/access",
    ("paseto", REFRESH): "paseto/refresh",
}
KINDS = {"jwt": JwtKey, "paseto": PasetoKey}
GENUINE = {ACCESS: OK, REFRESH: "session_revoked"}
"""How a token that is right in every way is answered: there is no session that the refresh token could be of."""
BOTH_INVALID = ("invalid_token", "invalid_token")
over_both = pytest.mark.parametrize("transport", ["http", "grpc"])
both_formats = pytest.mark.parametrize("format_", ["jwt", "paseto"])
both_typs = pytest.mark.parametrize("typ", [ACCESS, REFRESH])


@pytest.fixture(scope="module")
def bank(postgres_server, redis_server, migrated_template, tmp_path_factory) -> Iterator[Clients]:
    postgres_server.create_database("attacked_tokens", template=migrated_template)
    with serving(
        tmp_path_factory.mktemp("attacked_tokens"),
        postgres_server.url("attacked_tokens"),
        redis_server.url.replace("db=0", "db=3"),
        TOKEN_SYMMETRIC_KEY=SECRET.hex(),
    ) as clients:
        yield clients


def present(client: Client, typ: str, token: str) -> Answer:
    """Use a token for what it says it is for."""
    return client.sessions(bearer(token)) if typ == ACCESS else client.renew(token)


def presented(bank: Clients, typ: str, token: str) -> tuple[str, str]:
    """How it is answered over HTTP and over gRPC."""
    return present(bank.http, typ, token).error, present(bank.grpc, typ, token).error


# What tokens are made of


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def claims(typ: str, /, **changes: Any) -> dict[str, Any]:
    """Good claims, but for the changes; `...` leaves a claim out."""
    now = int(time.time())
    good = {
        "sub": "mallory",
        "roles": ["depositor"],
        "sid": str(uuid4()),
        "jti": str(uuid4()),
        "typ": typ,
        "iss": "transactions",
        "aud": "transactions",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def payload(typ: str, /, **changes: Any) -> bytes:
    return json.dumps(claims(typ, **changes)).encode()


def genuine(format_: str, typ: str, /, **changes: Any) -> str:
    return KINDS[format_](SECRET, typ).encode(payload(typ, **changes))


def derived(format_: str, typ: str) -> bytes:
    return derive(SECRET, PURPOSES[format_, typ])


def mark(format_: str, typ: str) -> str:
    return KINDS[format_](SECRET, typ).mark


def head(typ: str, /, **changes: Any) -> str:
    """The header of our own JWTs, but for the changes."""
    members = {**json.loads(decoded(mark("jwt", typ))), **changes}
    return encoded(json.dumps({name: value for name, value in members.items() if value is not ...}).encode())


def mac(signed: str, key: bytes, hash_: str = "sha256") -> str:
    return encoded(hmac.new(key, signed.encode(), hash_).digest())


def jws(typ: str, header: str, key: bytes | None = None, hash_: str = "sha256") -> str:
    """A JWT with this header; authenticated with our own key unless with another."""
    signed = f"{header}.{encoded(payload(typ))}"
    return f"{signed}.{mac(signed, derived('jwt', typ) if key is None else key, hash_)}"


def paseto(
    typ: str, key: bytes | None = None, *, version: int = 4, footer: bytes | None = None, **options
) -> str:
    """A local PASETO with our own key and footer unless with others."""
    made = pyseto.Key.new(version=version, purpose="local", key=key or derived("paseto", typ))
    ours = decoded(mark("paseto", typ))
    token = pyseto.encode(made, payload(typ), footer=ours if footer is None else footer, **options)
    return token.decode()


@cache
def attackers_key(algorithm: str) -> Any:
    return {
        "RS256": lambda: rsa.generate_private_key(65537, 2048),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }[algorithm]()


def pem(algorithm: str, *, private: bool) -> bytes:
    key, text = attackers_key(algorithm), serialization.Encoding.PEM
    if private:
        return key.private_bytes(text, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.public_key().public_bytes(text, serialization.PublicFormat.SubjectPublicKeyInfo)


def signed_by_attacker(typ: str, algorithm: str, /, **headers: Any) -> str:
    kid = json.loads(decoded(mark("jwt", typ)))["kid"]
    return jwt.encode(
        claims(typ), attackers_key(algorithm), algorithm=algorithm, headers={"kid": kid, **headers}
    )


def public_paseto(typ: str, version: int, algorithm: str) -> str:
    made = pyseto.Key.new(version=version, purpose="public", key=pem(algorithm, private=True))
    return pyseto.encode(made, payload(typ), footer=decoded(mark("paseto", typ))).decode()


def replaced(token: str, part: int, change: Callable[[str], str]) -> str:
    parts = token.split(".")
    parts[part] = change(parts[part])
    return ".".join(parts)


def flipped(part: str) -> str:
    """The first bit of the middle byte the other way round."""
    raw = bytearray(decoded(part))
    raw[len(raw) // 2] ^= 0x80
    return encoded(bytes(raw))


def respelled(part: str) -> str:
    """Another spelling of the same bytes, by bits of the last character that stand for nothing."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    for last in alphabet:
        other = part[:-1] + last
        if other != part and decoded(other) == decoded(part):
            return other
    return part + "="


def other(typ: str) -> str:
    return REFRESH if typ == ACCESS else ACCESS


NONES = ["none", "None", "NONE", "nOnE"]
ATTACKERS_JWK = {"kty": "oct", "k": encoded(b"k" * 32), "alg": "HS256"}
KIDS: list[Any] = [
    ..., "", "unknown", "../../../../dev/null", "/dev/null", "file:///dev/null", "' or 1=1 --",
    "x' union select 'key' --", "x'; drop table sessions; --", "$(id)", "\0", "k" * 1000, None, 0, [], {},
]  # fmt: skip
HEADERS = {
    "jwk": ATTACKERS_JWK,
    "jku": "https://attacker.example/jwks.json",
    "x5u": "https://attacker.example/certificate.pem",
    "x5c": ["MIIB"],
    "crit": ["exp"],
    "b64": False,
    "zip": "DEF",
    "cty": "JWT",
    "enc": "A256GCM",
}
JWTS: dict[str, Callable[[str], str]] = {
    **{
        f"alg {alg} unsigned": lambda typ, alg=alg: jws(typ, head(typ, alg=alg)).rpartition(".")[0] + "."
        for alg in NONES
    },
    **{f"alg {alg} signed": lambda typ, alg=alg: jws(typ, head(typ, alg=alg)) for alg in NONES},
    "alg missing": lambda typ: jws(typ, head(typ, alg=...)),
    "alg twice": lambda typ: jws(typ, encoded(decoded(mark("jwt", typ))[:-1] + b',"alg":"none"}')),
    "HS384": lambda typ: jws(typ, head(typ, alg="HS384"), hash_="sha384"),
    "HS512": lambda typ: jws(typ, head(typ, alg="HS512"), hash_="sha512"),
    **{alg: lambda typ, alg=alg: signed_by_attacker(typ, alg) for alg in ("RS256", "ES256", "EdDSA")},
    "RS256 with the key of HS256": lambda typ: jws(typ, head(typ, alg="RS256")),
    "HS256 with a public key": lambda typ: jws(typ, mark("jwt", typ), pem("RS256", private=False)),
    "HS256 with an empty key": lambda typ: jws(typ, mark("jwt", typ), b""),
    **{
        f"{name} of the attacker": lambda typ, name=name: signed_by_attacker(typ, "RS256", **{name: HEADERS[name]})
        for name in ("jwk", "jku", "x5u", "x5c")
    },
    "jwk of the attacker, with its key": lambda typ: jws(typ, head(typ, jwk=ATTACKERS_JWK), b"k" * 32),
    **{
        f"{name} and a good signature": lambda typ, name=name: jws(typ, head(typ, **{name: HEADERS[name]}))
        for name in HEADERS
    },
    **{f"kid {kid!r:.30}": lambda typ, kid=kid: jws(typ, head(typ, kid=kid)) for kid in KIDS},
    "kid of an empty file": lambda typ: jws(typ, head(typ, kid="/dev/null"), b""),
    "kid that selects a key": lambda typ: jws(typ, head(typ, kid="x' union select 'key' --"), b"key"),
    "another spelling of the header": lambda typ: jws(typ, encoded(decoded(mark("jwt", typ)) + b" ")),
    "encrypted": lambda typ: jws(typ, head(typ, alg="dir", enc="A256GCM")) + ".AA.AA",
    "no header": lambda typ: genuine("jwt", typ).partition(".")[2],
    "as JSON": lambda typ: json.dumps(
        dict(zip(("protected", "payload", "signature"), genuine("jwt", typ).split("."), strict=True))
    ),
    "the signature of another": lambda typ: replaced(
        genuine("jwt", typ), 2, lambda _: genuine("jwt", typ).split(".")[2]
    ),
}  # fmt: skip
PASETOS: dict[str, Callable[[str], str]] = {
    **{f"v{version}.local": lambda typ, version=version: paseto(typ, version=version) for version in (1, 2, 3)},
    **{
        f"v{version}.public": lambda typ, version=version, alg=alg: public_paseto(typ, version, alg)
        for version, alg in ((1, "RS256"), (2, "EdDSA"), (3, "ES384"), (4, "EdDSA"))
    },
    **{
        f"v4.local called {prefix}": lambda typ, prefix=prefix: (
            prefix + genuine("paseto", typ)[len("v4.local") :]
        )
        for prefix in ("v1.local", "v2.local", "v3.local", "v4.public", "V4.local", "v4.LOCAL", "v5.local")
    },
    "footer removed": lambda typ: genuine("paseto", typ).rpartition(".")[0],
    "footer empty": lambda typ: genuine("paseto", typ).rpartition(".")[0] + ".",
    "footer of another": lambda typ: replaced(
        genuine("paseto", typ), 3, lambda _: encoded(b'{"kid": "k4.lid.other"}')
    ),
    "footer of the other typ": lambda typ: replaced(
        genuine("paseto", typ), 3, lambda _: mark("paseto", other(typ))
    ),
    "footer twice": lambda typ: genuine("paseto", typ) + "." + mark("paseto", typ),
    "no footer, genuinely": lambda typ: paseto(typ, footer=b""),
    "a longer footer, genuinely": lambda typ: paseto(typ, footer=decoded(mark("paseto", typ)) + b" "),
    "an SQL-like footer, genuinely": lambda typ: paseto(typ, footer=b'{"kid": "\' or 1=1 --"}'),
    "an implicit assertion": lambda typ: paseto(typ, implicit_assertion=b"more"),
    "no version": lambda typ: genuine("paseto", typ).removeprefix("v4.local."),
    "the key of nobody": lambda typ: paseto(typ, bytes(32)),
}
CROSSED: dict[str, Callable[[str], str]] = {
    "a JWT called PASETO": lambda typ: "v4.local." + genuine("jwt", typ),
    "a JWT's claims as PASETO": lambda typ: (
        f"v4.local.{genuine('jwt', typ).split('.')[1]}.{mark('paseto', typ)}"
    ),
    "a PASETO under a JWT's header": lambda typ: (
        f"{mark('jwt', typ)}.{genuine('paseto', typ).split('.', 2)[2]}"
    ),
    "a PASETO's key id in a JWT": lambda typ: jws(
        typ, head(typ, **json.loads(decoded(mark("paseto", typ)))), derived("paseto", typ)
    ),
    "a JWT's header as PASETO's footer": lambda typ: paseto(typ, footer=decoded(mark("jwt", typ))),
    "a JWT in a PASETO": lambda typ: PasetoKey(SECRET, typ).encode(genuine("jwt", typ).encode()),
    "a PASETO in a JWT": lambda typ: JwtKey(SECRET, typ).encode(genuine("paseto", typ).encode()),
    "a JWT with the secret itself": lambda typ: jws(typ, mark("jwt", typ), SECRET),
    "a PASETO with the secret itself": lambda typ: paseto(typ, SECRET),
}
ODD = {
    "empty": "",
    "dot": ".",
    "dots": "..",
    "v4.local": "v4.local",
    "v4.local..": "v4.local..",
    "nonsense": "a.b.c",
}
FORGED = {**JWTS, **PASETOS, **CROSSED, **{name: lambda _, odd=odd: odd for name, odd in ODD.items() if odd}}


@over_both
@both_typs
@both_formats
def test_what_is_forged_here_would_be_good_but_for_its_one_change(bank, transport, typ, format_):
    client = bank.over(transport)
    assert present(client, typ, genuine(format_, typ)).error == GENUINE[typ]
    remade = jws(typ, mark("jwt", typ)) if format_ == "jwt" else paseto(typ)
    assert present(client, typ, remade).error == GENUINE[typ]


@both_typs
@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_token_is_refused(bank, typ, forged):
    with warnings.catch_warnings(action="ignore"):  # of libraries that do not like what is done to them here
        token = forged(typ)
    assert presented(bank, typ, token) == BOTH_INVALID


@over_both
@both_typs
@pytest.mark.parametrize(
    ("format_", "part"), [*(("jwt", part) for part in range(3)), *(("paseto", part) for part in (2, 3))]
)
def test_no_part_of_a_token_can_be_changed_or_spelled_otherwise(bank, transport, typ, format_, part):
    changes: dict[str, Callable[[str], str]] = {
        "stripped": lambda text: "",
        "shortened": lambda text: text[:-1],
        "halved": lambda text: text[: len(text) // 2],
        "flipped": flipped,
        "lengthened": lambda text: text + "A",
        "respelled": respelled,
        "padded": lambda text: text + "=",
        "fully padded": lambda text: text + "=" * (-len(text) % 4 or 4),
        "in the other alphabet": lambda text: (text + "-_").replace("-", "+").replace("_", "/"),
        "with a space": lambda text: text[:5] + " " + text[5:],
        "with garbage": lambda text: text[:5] + "!" + text[5:],
        "escaped": lambda text: f"%{ord(text[0]):02x}{text[1:]}",
    }
    token = genuine(format_, typ)
    answers = {
        name: present(bank.over(transport), typ, replaced(token, part, change)).error
        for name, change in changes.items()
    }
    assert answers == dict.fromkeys(changes, "invalid_token")


NOW = int(time.time())
DAY_S = 86_400
INVALID = [
    *({name: ...} for name in claims(ACCESS)),
    *({name: None} for name in claims(ACCESS)),
    {"iss": "somebody"},
    {"iss": "transactions "},
    {"aud": "somebody"},
    {"aud": ["transactions"]},
    {"typ": "mail"},
    {"typ": ""},
    {"iat": NOW + DAY_S},
    {"nbf": NOW + DAY_S},
    {"iat": float(NOW)},
    {"nbf": str(NOW)},
    {"exp": str(NOW + DAY_S)},
    {"exp": NOW + DAY_S + 0.5},
    {"exp": float("inf")},
    {"exp": float("nan")},
    {"exp": True},
    {"exp": 10**30},
    {"exp": [NOW + DAY_S]},
    {"sub": 7},
    {"sub": ["mallory"]},
    {"roles": "admin"},
    {"roles": ["admin", 7]},
    {"roles": {"admin": True}},
    {"sid": "none"},
    {"sid": 7},
    {"jti": ""},
    {"admin": True},
]
EXPIRED = [{"exp": NOW - DAY_S}, {"exp": 0}, {"exp": -1}]
WRONG = [*((wrong, "invalid_token") for wrong in INVALID), *((wrong, "token_expired") for wrong in EXPIRED)]


@both_formats
@both_typs
@pytest.mark.parametrize(
    ("changes", "code"), WRONG, ids=[f"{number}-{'-'.join(wrong)}" for number, (wrong, _) in enumerate(WRONG)]
)
def test_a_genuine_token_with_wrong_claims_is_refused(bank, format_, typ, changes, code):
    assert presented(bank, typ, genuine(format_, typ, **changes)) == (code, code)


PAYLOADS: dict[str, Callable[[str], bytes]] = {
    **{
        f"{name} twice": lambda typ, name=name: (
            payload(typ)[:-1] + f", {json.dumps(name)}: {json.dumps(claims(typ)[name])}}}".encode()
        )
        for name in claims(ACCESS)
    },
    "roles twice, escaped": lambda typ: payload(typ)[:-1] + b', "\\u0072oles": ["admin"]}',
    "lists in lists": lambda typ: b"[" * 2_500,
    "objects in objects": lambda typ: b'{"a":' * 400 + b"1" + b"}" * 400,
    "deep roles": lambda typ: payload(typ).replace(b'["depositor"]', b"[" * 1_000 + b"]" * 1_000),
    "a list": lambda typ: b"[" + payload(typ) + b"]",
    "a number": lambda typ: b"1",
    "a number of thousands of digits": lambda typ: b"1" * 2_500,
    "nothing": lambda typ: b"",
    "no JSON": lambda typ: payload(typ)[:-1],
    "more after it": lambda typ: payload(typ) + b"{}",
    "no UTF-8": lambda typ: payload(typ).replace(b"mallory", b"m\xffllory"),
}


@both_formats
@both_typs
@pytest.mark.parametrize("made", PAYLOADS.values(), ids=PAYLOADS)
def test_a_genuine_token_around_any_other_document_is_refused(bank, format_, typ, made):
    token = KINDS[format_](SECRET, typ).encode(made(typ))
    assert len(token) <= TOKEN_MAX_BYTES, "it would be refused for its size"
    assert presented(bank, typ, token) == BOTH_INVALID


# Where, how large, for what


@over_both
@both_formats
def test_a_token_counts_in_the_one_authorization_header_alone(bank, transport, format_):
    client, good = bank.over(transport), genuine(format_, ACCESS)
    names = ("access_token", "token", "authorization2", "x-access-token", "proxy-authorization")
    for name in names:
        for value in (good, f"Bearer {good}"):
            assert client.sessions([], **{name: value}).error == "unauthenticated", name
    forged = "Bearer a.b.c"
    for two in ([*bearer(good)] * 2, [*bearer(good), forged], [forged, *bearer(good)]):
        assert client.sessions(two).error == "unauthenticated"
    schemes = {f"{scheme} {good}": "unauthenticated" for scheme in ("Basic", "Token", "DPoP", "Bearer:")}
    joined = {f"Bearer {good}, Bearer {good}": "invalid_token", f"Bearer  {good}": "invalid_token"}
    bare = {good: "unauthenticated", "Bearer": "unauthenticated", f"Bearer{good}": "unauthenticated"}
    for value, code in {**schemes, **joined, **bare}.items():
        assert client.sessions([value]).error == code, value[:20]
    assert client.sessions([f"bearer {good}"], access_token="a.b.c").error == OK


def test_a_token_in_the_query_is_no_token_over_http(bank):
    token = genuine("jwt", ACCESS)
    for name in ("access_token", "authorization", "Authorization", "token"):
        response = httpx.get(f"{bank.service.http}/v1/sessions", params={name: f"Bearer {token}"})
        assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")


def large(format_: str, typ: str, size: int, *, deep: bool = False) -> str:
    """A genuine token of at least this size: with very many roles, or of brackets alone."""
    number = size * 3 // 4
    roles = ["depositor"] * (number // 13 + 1)
    return KINDS[format_](SECRET, typ).encode(b"[" * number if deep else payload(typ, roles=roles))


@over_both
@both_formats
@both_typs
def test_a_token_is_good_up_to_its_greatest_size_and_no_further(bank, transport, format_, typ):
    client = bank.over(transport)
    good, bad = large(format_, typ, 3_000), large(format_, typ, TOKEN_MAX_BYTES)
    assert len(good) < TOKEN_MAX_BYTES < len(bad) < 5_000
    assert present(client, typ, good).error == GENUINE[typ]
    for refused in (bad, large(format_, typ, 8_000), large(format_, typ, 8_000, deep=True)):
        assert present(client, typ, refused).error == "invalid_token"


@pytest.mark.parametrize(
    ("transport", "typ", "code"),
    [
        ("http", ACCESS, "invalid_argument"),
        ("http", REFRESH, "invalid_argument"),
        ("grpc", ACCESS, "status UNAVAILABLE"),
        ("grpc", REFRESH, "status RESOURCE_EXHAUSTED"),
    ],
)
@both_formats
@pytest.mark.parametrize("deep", [False, True])
def test_a_token_of_a_megabyte_is_refused_and_harms_nobody_else(bank, transport, typ, code, format_, deep):
    attacker, token = Clients(bank.service), large(format_, typ, 1024 * 1024, deep=deep)
    assert present(attacker.over(transport), typ, token).error == code
    attacker.close()
    for client in (bank.http, bank.grpc):
        assert client.sessions(bearer(genuine(format_, ACCESS))).error == OK


@both_formats
@both_typs
def test_too_large_a_token_is_refused_before_any_decoding(monkeypatch, format_, typ):
    service, good = Tokens([SECRET], issue=format_), large(format_, typ, 3_000)
    bad = [
        large(format_, typ, size, deep=deep)
        for size in (TOKEN_MAX_BYTES, 1024 * 1024)
        for deep in (False, True)
    ]
    decodings = []

    def decode(*arguments: Any) -> Any:
        decodings.append(arguments)
        raise ValueError("decoded")

    monkeypatch.setattr(tokens, "urlsafe_b64decode", decode)
    for too_large in bad:
        with pytest.raises(Unauthenticated):
            service.verify(too_large, typ)
    assert not decodings
    with pytest.raises(Unauthenticated):
        service.verify(good, typ)
    assert decodings, "this is how every token's decoding begins"


def under(format_: str, typ: str, marked: str, key: bytes) -> str:
    """A token of this typ that names one key and is made with another."""
    if format_ == "jwt":
        signed = f"{marked}.{encoded(payload(typ))}"
        return f"{signed}.{mac(signed, key)}"
    return paseto(typ, key, footer=decoded(marked))


@over_both
@both_typs
def test_every_key_has_one_purpose(bank, transport, typ):
    client = bank.over(transport)
    keys = {purpose: derive(SECRET, purpose) for purpose in [*PURPOSES.values(), "mail", "jwt/access/id"]}
    keys["the secret"] = SECRET
    assert len(set(keys.values())) == len(keys)
    good = []
    for format_ in KINDS:
        for (marks_format, marks_typ), purpose in PURPOSES.items():
            for name, key in keys.items():
                token = under(format_, typ, mark(marks_format, marks_typ), key)
                code = present(client, typ, token).error
                assert code in ("invalid_token", GENUINE[typ]), code
                if code == GENUINE[typ]:
                    good.append((format_, purpose, name))
    assert good == [(format_, PURPOSES[format_, typ], PURPOSES[format_, typ]) for format_ in KINDS]


@over_both
@both_formats
def test_no_token_and_no_code_does_the_work_of_another(bank, transport, format_):
    client, name = bank.over(transport), bank.service.register(verified=False)
    address = f"{name}@example.com"
    email_id, code = mailed(bank.service, address, "email_id")
    assert bank.http.ask_for_reset(address).error == OK
    reset_id, reset_code = mailed(bank.service, address, "reset_id")
    session = UUID(client.login(name).login.session)
    issued = Tokens([SECRET], issue=format_)
    ends = datetime.now(UTC) + timedelta(minutes=5)
    access, refresh = (
        issued.issue(typ, username=name, roles=["depositor"], session_id=session, expires_at=ends).token
        for typ in (ACCESS, REFRESH)
    )
    for token in (access, code, reset_code, email_id):
        assert client.renew(token).error == "invalid_token"
    for token in (refresh, code, reset_code, reset_id):
        assert client.sessions(bearer(token)).error == "invalid_token"
    for link, secret in [
        *((email_id, other) for other in (access, refresh, reset_code)),
        *((reset_id, other) for other in (code, reset_code)),
    ]:
        assert client.verify_email(link, secret).error == "not_found"
    for link, secret in [
        *((reset_id, other) for other in (access, refresh, code)),
        *((email_id, other) for other in (code, reset_code)),
    ]:
        assert bank.http.reset_password(link, secret, NEW_PASSWORD).error == "not_found"
    # All of them were good for what they are for.
    assert client.sessions(bearer(access)).error == OK
    assert client.verify_email(email_id, code).error == OK
    assert bank.http.reset_password(reset_id, reset_code, NEW_PASSWORD).error == OK
    assert client.login(name, NEW_PASSWORD).error == OK
    assert client.verify_email(email_id, code).error == "not_found"
    assert bank.http.reset_password(reset_id, reset_code, PASSWORD).error == "not_found"


# Rotation of the key

OLD, NEW = SECRET.hex(), bytes(reversed(SECRET)).hex()
STEPS = [
    {"TOKEN_SYMMETRIC_KEY": OLD},
    {"TOKEN_SYMMETRIC_KEY": OLD, "TOKEN_RETIRED_KEYS": NEW},
    {"TOKEN_SYMMETRIC_KEY": NEW, "TOKEN_RETIRED_KEYS": OLD},
    {"TOKEN_SYMMETRIC_KEY": NEW},
]
"""As the README says: each of them in every process before the next."""


def assert_all_is_well(fleet: list[Clients], kept: Login) -> Login:
    """Whatever one process makes the other takes, mails included; `kept` is renewed."""
    for here, there in permutations(fleet):
        for transport in ("http", "grpc"):
            name = here.service.register(verified=False)
            link = mailed(here.service, f"{name}@example.com", "email_id")
            assert there.over(transport).verify_email(*link).error == OK
            login = here.over(transport).login(name).login
            assert there.over(transport).sessions(bearer(login.access)).error == OK
            assert there.over(transport).renew(login.refresh).error == OK
            kept = there.over(transport).renew(kept.refresh).login
            assert here.over(transport).sessions(bearer(kept.access)).error == OK
    return kept


def test_the_secret_is_rotated_process_by_process_without_anybody_noticing(
    database_url, redis_server, tmp_path
):
    where = tmp_path, database_url, redis_server.url.replace("db=0", "db=5")
    with ExitStack() as both:
        stacks = [both.enter_context(ExitStack()) for _ in range(2)]
        fleet = [
            stack.enter_context(serving(*where, TOKEN_FORMAT=format_, **STEPS[0]))
            for stack, format_ in zip(stacks, KINDS, strict=True)
        ]
        name = fleet[0].service.register()
        kept = assert_all_is_well(fleet, fleet[0].http.login(name).login)
        for keys in STEPS[1:]:
            for at, format_ in enumerate(KINDS):
                stacks[at].close()
                fleet[at] = stacks[at].enter_context(serving(*where, TOKEN_FORMAT=format_, **keys))
                kept = assert_all_is_well(fleet, kept)
        assert made_with(kept)[0] == bytes.fromhex(NEW)
        queue = fleet[0].service.run("mail", "--json")
        assert json.loads(queue.stdout)["dead"] == 0, queue.stdout


def test_a_key_opens_what_it_made_wherever_it_is_known_and_nowhere_else(
    postgres_server, redis_server, migrated_template, tmp_path
):
    postgres_server.create_database("rotated", template=migrated_template)
    where = (postgres_server.url("rotated"), redis_server.url.replace("db=0", "db=4"))
    old, new = SECRET, bytes(reversed(SECRET))
    with ExitStack() as stack:
        before, during, after = (
            stack.enter_context(serving(tmp_path / stage, *where, **keys))
            for stage, keys in {
                "before": {"TOKEN_SYMMETRIC_KEY": old.hex(), "TOKEN_FORMAT": "paseto"},
                "during": {
                    "TOKEN_SYMMETRIC_KEY": new.hex(),
                    "TOKEN_RETIRED_KEYS": old.hex(),
                    "TOKEN_FORMAT": "jwt",
                },
                "after": {"TOKEN_SYMMETRIC_KEY": new.hex(), "TOKEN_FORMAT": "jwt"},
            }.items()
        )
        user = before.service.register(verified=False)
        for transport in ("http", "grpc"):
            stages = [clients.over(transport) for clients in (before, during, after)]
            made = stages[0].login(user).login
            assert made_with(made) == (old, "paseto")
            # Of both formats, for either may have been issued before.
            for access in (made.access, access_of(old, user, made, "jwt")):
                seen = [client.sessions(bearer(access)).error for client in stages]
                assert seen == [OK, OK, "invalid_token"]
            assert stages[2].renew(made.refresh).error == "invalid_token"
            renewed = stages[1].renew(made.refresh).login
            assert renewed.session == made.session
            assert made_with(renewed) == made_with(stages[1].login(user).login) == (new, "jwt")
            seen = [client.sessions(bearer(renewed.access)).error for client in stages]
            assert seen == ["invalid_token", OK, OK]
            assert stages[0].renew(renewed.refresh).error == "invalid_token"
            assert stages[1].sessions(bearer(made.access)).error == OK, (
                "what was issued stays good until it ends"
            )
            assert stages[2].renew(renewed.refresh).login.session == made.session


def access_of(secret: bytes, user: str, login: Login, format_: str) -> str:
    """An access token of a session as a service with this secret would issue it."""
    options = {"username": user, "roles": ["depositor"], "session_id": UUID(login.session)}
    return Tokens([secret], issue=format_).issue(ACCESS, expires_at=login.access_ends, **options).token


def made_with(login: Login) -> tuple[bytes, str]:
    """The secret and the format that both tokens of a login are of."""
    formats = {"paseto" if token.startswith("v4.local.") else "jwt" for token in (login.access, login.refresh)}
    assert len(formats) == 1
    for secret in (SECRET, bytes(reversed(SECRET))):
        own = Tokens([secret], issue="jwt")
        with suppress(Unauthenticated):
            sessions = {
                own.verify(login.access, ACCESS).session_id,
                own.verify(login.refresh, REFRESH).session_id,
            }
            assert sessions == {UUID(login.session)}
            return secret, formats.pop()
    raise AssertionError("of neither secret")
