"""Attacks on money: privileges in bodies, other people's accounts and keys, numbers that are none."""

from __future__ import annotations

import json
import time
from collections import Counter
from statistics import median

import psycopg
import pytest

from domain.policy import Role
from tests.attacks.asking import OK, Asking, request_type
from tests.support.service import PASSWORD, open_accounts

SAMPLES = 150
DIFFERENCE_MAX = 0.25
BEYOND = 2**62
"""No account has such an id."""


class Person:
    def __init__(self, asked: Asking) -> None:
        self.name = asked.user()
        self.token = asked.token(self.name)
        url = asked.service.database_url
        self.accounts = open_accounts(url, self.name, 2, overdraft=1_000)


@pytest.fixture(scope="module")
def alice(asked: Asking) -> Person:
    return Person(asked)


@pytest.fixture(scope="module")
def bob(asked: Asking) -> Person:
    return Person(asked)


@pytest.fixture(scope="module")
def banker(asked: Asking) -> str:
    return asked.staff("banker")


def moved(asked: Asking) -> list[tuple[int, ...]]:
    with psycopg.connect(asked.service.database_url) as connection:
        return connection.execute("select id, balance from accounts where balance <> 0 order by id").fetchall()


def transfer(source: int, target: int, amount: int = 1) -> dict[str, object]:
    return {"from_account_id": source, "to_account_id": target, "amount": amount, "currency": "USD"}


PRIVILEGES = {
    "CreateUser": ["role", "roles", "is_email_verified", "balance", "password_hash", "created_at", "__proto__"],
    "UpdateUser": ["role", "roles", "is_email_verified", "username", "password_changed_at"],
    "LoginUser": ["roles", "is_email_verified", "access_token_duration"],
    "CreateAccount": ["balance", "available_balance", "owner", "overdraft_limit", "status", "id"],
    "CreateTransfer": ["owner", "requested_by", "overdraft_limit", "status", "created_at", "id"],
    "Deposit": ["currency", "from_account_id", "balance"],
}


PRIVILEGED = [(method, field) for method, fields in PRIVILEGES.items() for field in fields]


@pytest.mark.parametrize(("method", "field"), PRIVILEGED)
def test_privileges_in_a_body_are_refused(asked, alice, bob, banker, method, field):
    name = f"new{time.monotonic_ns()}"
    bodies = {
        "CreateUser": {
            "username": name,
            "password": PASSWORD,
            "full_name": "N",
            "email": f"{name}@example.com",
        },
        "UpdateUser": {"full_name": "N"},
        "LoginUser": {"username": alice.name, "password": PASSWORD},
        "CreateAccount": {"currency": "USD"},
        "CreateTransfer": transfer(alice.accounts[0], bob.accounts[0]),
        "Deposit": {"amount": 1},
    }
    before = moved(asked)
    for value in (True, 1_000_000, "admin", ["admin"]):
        answer = asked.http(
            method,
            banker if method == "Deposit" else alice.token,
            username=alice.name,
            account_id=alice.accounts[0],
            content=json.dumps(bodies[method] | {field: value}).encode(),
        )
        assert (answer.status, [error["field"] for error in answer.body["errors"]]) == (400, [field])
    assert moved(asked) == before


def with_unknown_fields(method: str, fields: dict[str, object]) -> bytes:
    """A request, and every field number up to 15 that it does not know, as an integer and as text.

    Among them are those of the privileged fields of User, Account and Transfer themselves.
    """
    kind = request_type(method)
    unknown = set(range(1, 16)) - {field.number for field in kind.DESCRIPTOR.fields}
    sent = (bytes([number << 3, 1, number << 3 | 2, 5]) + b"admin" for number in sorted(unknown))
    return kind(**fields).SerializeToString() + b"".join(sent)


def test_fields_that_a_message_does_not_have_do_nothing(asked, alice, bob, banker):
    def answer(method: str, token: str | None, **fields: object) -> dict:
        got = asked.grpc_bytes(method, with_unknown_fields(method, fields), token, fields=fields)
        assert got.code == OK, got
        return got.body

    name, account, amount = f"new{time.monotonic_ns()}", alice.accounts[0], 7
    made = answer(
        "CreateUser", None, username=name, password=PASSWORD, full_name="N", email=f"{name}@example.com"
    )
    changed = answer("UpdateUser", alice.token, username=alice.name, full_name="N")
    for answered, user in ((made, (name, False)), (changed, (alice.name, True))):
        fields = answered["user"]
        assert (fields["username"], fields["is_email_verified"], fields["roles"]) == (*user, ["depositor"])
    opened = answer("CreateAccount", alice.token, currency="USD")["account"]
    assert (opened["owner"], opened["balance"], opened["available_balance"]) == (alice.name, "0", "0")
    changes = Counter()
    changes.subtract(dict(moved(asked)))
    answer("Deposit", banker, account_id=account, amount=amount)
    answer("CreateTransfer", alice.token, **transfer(account, bob.accounts[0], amount))
    changes.update(dict(moved(asked)))
    assert sorted(filter(None, changes.values())) == [-amount, amount]
    assert changes[bob.accounts[0]] == amount


def about(account: int, other: int) -> dict[str, dict[str, object]]:
    """What can be asked about an account."""
    return {
        "GetAccount": {"id": account},
        "ListEntries": {"account_id": account},
        "CreateTransfer": transfer(account, other),
    }


@pytest.mark.parametrize("method", about(0, 0))
def test_somebody_elses_account_is_as_one_that_is_not_there(asked, ask, alice, bob, method):
    settlement = 1
    accounts = [bob.accounts[0], settlement, BEYOND, 2**63 - 1]
    answers = [ask(method, alice.token, **about(each, alice.accounts[0])[method]) for each in accounts]
    assert answers[0].code == "not_found"
    assert all(answer.told == answers[0].told for answer in answers)


def test_somebody_elses_transfer_and_name_are_as_such_that_are_not_there(asked, ask, alice, bob, banker):
    made = asked.http("CreateTransfer", bob.token, **transfer(*bob.accounts)).body["transfer"]["id"]
    for method, there, missing in (
        ("GetTransfer", {"id": made}, {"id": BEYOND}),
        ("GetUser", {"username": bob.name}, {"username": "nobody_has_this"}),
        (
            "UpdateUser",
            {"username": bob.name, "full_name": "X"},
            {"username": "nobody_has_this", "full_name": "X"},
        ),
        ("RevokeSession", {"id": _session(asked, bob)}, {"id": "00000000-0000-4000-8000-000000000000"}),
    ):
        answers = [ask(method, alice.token, **fields) for fields in (there, missing)]
        assert answers[0].code == "not_found"
        assert answers[0].told == answers[1].told


@pytest.mark.parametrize("role", Role)
def test_who_reads_everything_lists_everybodys_accounts_and_nobody_else_does(asked, ask, alice, bob, role):
    staff = asked.staff(role)

    def listed(token: str, **of: object) -> list[int] | str:
        answer = ask("ListAccounts", token, **of)
        return [int(item["id"]) for item in answer.body["items"]] if answer.code == OK else answer.code

    before_bobs = {"cursor": str(bob.accounts[0] - 1), "limit": 2}
    reads = role in (Role.BANKER, Role.AUDITOR)
    assert listed(staff, **before_bobs) == (bob.accounts if reads else [])
    assert listed(staff, owner=alice.name, limit=2) == (alice.accounts if reads else "not_found")
    assert listed(staff, owner="nobody_has_this") == ([] if reads else "not_found")
    assert listed(alice.token, limit=2) == listed(alice.token, owner=alice.name, limit=2) == alice.accounts
    assert set(listed(alice.token, **before_bobs)).isdisjoint(bob.accounts)


def _session(asked: Asking, person: Person) -> str:
    return asked.http("ListSessions", person.token).body["items"][0]["id"]


@pytest.mark.parametrize("method", about(0, 0))
def test_somebody_elses_account_takes_as_long_as_one_that_is_not_there(ask, alice, bob, method):
    def seconds(account: int) -> float:
        fields = about(account, alice.accounts[0])[method]
        began = time.perf_counter()
        assert ask(method, alice.token, **fields).code == "not_found"
        return time.perf_counter() - began

    for _ in range(20):
        seconds(bob.accounts[0]), seconds(BEYOND)
    there, missing = zip(*((seconds(bob.accounts[0]), seconds(BEYOND)) for _ in range(SAMPLES)), strict=True)
    print(f"\n{method}: there {median(there) * 1000:.2f} ms, missing {median(missing) * 1000:.2f} ms")
    assert abs(median(there) - median(missing)) <= DIFFERENCE_MAX * max(median(there), median(missing))


NO_AMOUNTS = [
    "-1",
    "0",
    "-0",
    "0.5",
    "1.0",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e309",
    "1e2",
    "true",
    "false",
    "null",
    '"1"',
    "[1]",
    "{}",
    "0x10",
    "01",
    "1_000",
    "١",
    "9223372036854775808",
    "-9223372036854775809",
]
NO_IDS = [
    "9223372036854775808",
    "99999999999999999999999",
    "-1",
    "1.0",
    "1e1",
    "0",
    "x",
    "%00",
    "1;2",
    "1'or'1'='1",
    "%D9%A0",
]


@pytest.mark.parametrize("number", [*NO_AMOUNTS, "9" * 400, "9" * 5_000], ids=lambda number: number[:30])
def test_numbers_that_are_none_are_refused(asked, alice, bob, banker, number):
    before = moved(asked)
    sound = transfer(alice.accounts[0], bob.accounts[0])
    for field in ("amount", "from_account_id", "to_account_id"):
        raw = json.dumps(sound | {field: "HERE"}).replace('"HERE"', number)
        answer = asked.http("CreateTransfer", alice.token, content=raw.encode())
        assert (answer.status, answer.code) == (400, "invalid_argument")
    for method in ("Deposit", "Withdraw"):
        answer = asked.http(
            method, banker, account_id=alice.accounts[0], content=f'{{"amount": {number}}}'.encode()
        )
        assert (answer.status, answer.code) == (400, "invalid_argument")
    assert moved(asked) == before


@pytest.mark.parametrize("number", [0, -1, -(2**63)])
def test_numbers_that_are_none_are_refused_over_grpc(asked, alice, bob, banker, number):
    before = moved(asked)
    sound = transfer(alice.accounts[0], bob.accounts[0])
    for field in ("amount", "from_account_id", "to_account_id"):
        assert asked.grpc("CreateTransfer", alice.token, **sound | {field: number}).code == "invalid_argument"
    for method in ("Deposit", "Withdraw"):
        answer = asked.grpc(method, banker, account_id=alice.accounts[0], amount=number)
        assert answer.code == "invalid_argument"
        assert asked.grpc(method, banker, account_id=number, amount=1).code == "not_found"
    assert moved(asked) == before


def test_the_largest_numbers_move_nothing(asked, ask, alice, bob, banker):
    before, most = moved(asked), 2**63 - 1
    codes = {
        ask("CreateTransfer", alice.token, **transfer(alice.accounts[0], bob.accounts[0], most)).code,
        ask("Withdraw", banker, account_id=alice.accounts[0], amount=most).code,
        ask("CreateTransfer", alice.token, **transfer(most, most)).code,
    }
    assert codes <= {"invalid_argument", "insufficient_funds", "not_found", "same_account"}
    assert moved(asked) == before


@pytest.mark.parametrize("text", [*NO_IDS, "9" * 5_000], ids=lambda text: text[:30])
def test_ids_in_paths_that_are_none_are_not_found(asked, alice, text):
    for method in ("GetAccount", "ListEntries", "GetTransfer"):
        assert asked.http(method, alice.token, id=text, account_id=text).code == "not_found"


def test_somebody_elses_idempotency_key_reveals_nothing(asked, ask, alice, bob, banker):
    key = {"Idempotency-Key": f"key {time.monotonic_ns()}"}
    first = ask("CreateTransfer", bob.token, headers=key, **transfer(*bob.accounts))
    assert first.code == OK
    mine = transfer(*alice.accounts, 2)
    for token, fields, code in (
        (alice.token, transfer(*bob.accounts), "not_found"),
        (banker, transfer(*bob.accounts), "permission_denied"),
    ):
        answer = ask("CreateTransfer", token, headers=key, **fields)
        assert (answer.code, answer.headers.get("idempotency-replayed")) == (code, None)
    # Alice's own first outcome under this key was the refusal above: hers it is, and with another body a reuse.
    replayed = ask("CreateTransfer", alice.token, headers=key, **transfer(*bob.accounts))
    assert (replayed.code, replayed.headers.get("idempotency-replayed")) == ("not_found", "true")
    assert ask("CreateTransfer", alice.token, headers=key, **mine).code == "idempotency_key_reused"
    again = ask("CreateTransfer", bob.token, headers=key, **transfer(*bob.accounts))
    assert again.body == first.body
    opening = {"Idempotency-Key": f"opening {time.monotonic_ns()}"}
    opened = [ask("CreateAccount", who.token, headers=opening, currency="USD").body for who in (bob, alice)]
    owners = [each.get("account", each)["owner"] for each in opened]
    assert owners == [bob.name, alice.name]


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "é".encode().decode("latin-1")])
def test_keys_that_are_none_move_nothing(asked, alice, key):
    before = moved(asked)
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    answer = asked.http("CreateTransfer", alice.token, headers=headers, **transfer(*alice.accounts))
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert moved(asked) == before


def test_the_ledger_is_clean_after_all_this(service):
    done = service.audit()
    assert done.returncode == 0, done.stdout + done.stderr
