"""One API, three ways in: the same questions get the same answers over v1, through the gateway and over gRPC."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import grpc
import httpx
import psycopg
import pytest

from tests.support.service import PASSWORD, ServiceProcess
from tests.support.ways import GATEWAY, GRPC, V1, Way

Scenario = Callable[[Way], None]
SCENARIOS: dict[str, Scenario] = {}
NOBODYS = 2**62
CODE = "c" * 43


def scenario(told: Scenario) -> Scenario:
    SCENARIOS[told.__name__] = told
    return told


def transfer(way: Way, token: str | None, source: int, target: int, amount: int = 10, **fields):
    asked = {"from_account_id": source, "to_account_id": target, "amount": amount, "currency": "USD"}
    return way.ask("CreateTransfer", token, **{**asked, **fields})


def person(way: Way, **changes) -> dict:
    name = way.name("alice")
    return {
        "username": name,
        "password": PASSWORD,
        "full_name": "Alice A",
        "email": f"{name}@example.com",
        **changes,
    }


# Registration and users


@scenario
def registering(way):
    way.ask("CreateUser", **person(way))
    token = way.service.login(way.name("alice"))
    way.ask("GetUser", token, username=way.name("alice"))


@scenario
def registering_twice(way):
    way.ask("CreateUser", **person(way))
    way.ask("CreateUser", **person(way, email=f"other_{way.name('alice')}@example.com"))
    way.ask("CreateUser", **person(way, username=way.name("bob")))


@scenario
def registering_with_everything_wrong(way):
    way.ask("CreateUser", username="A", password="short", full_name="\n", email="nobody")


@scenario
def registering_with_one_thing_wrong(way):
    for changes in (
        {"username": "UPPER"},
        {"username": "login"},
        {"username": "x" * 33},
        {"password": "7 chars"},
        {"password": "x" * 129},
        {"password": "password"},
        {"full_name": ""},
        {"full_name": "x" * 101},
        {"full_name": "two\r\nlines"},
        {"email": "a@b"},
        {"email": "a b@example.com"},
        {"email": "a@example.com\r\nBcc: b@example.com"},
        {"email": f"{'x' * 250}@example.com"},
    ):
        way.ask("CreateUser", **person(way, **changes))


@scenario
def reading_users_without_a_login(way):
    way.ask("GetUser", username="alice")
    way.ask("GetUser", "v4.local.AAAA", username="alice")
    way.ask("GetUser", "a.b.c", username="alice")


@scenario
def reading_somebody_else(way):
    alice = way.user()
    way.user("bob")
    way.ask("GetUser", alice, username=way.name("bob"))
    way.ask("GetUser", alice, username="nobody_at_all")
    way.ask("GetUser", alice, username="N0 NAME")


@scenario
def staff_reading_users(way):
    way.user()
    for role in ("banker", "admin", "auditor"):
        token = way.staff(role)
        way.ask("GetUser", token, username=way.name("alice"))
        way.ask("GetUser", token, username="nobody_at_all")


@scenario
def changing_ones_name(way):
    alice = way.user()
    way.ask("UpdateUser", alice, username=way.name("alice"), full_name="Alice B")
    way.ask("UpdateUser", alice, username=way.name("alice"), full_name="")
    way.ask("UpdateUser", alice, username=way.name("alice"))


@scenario
def changing_ones_address(way):
    alice = way.user()
    way.ask("UpdateUser", alice, username=way.name("alice"), email=f"new_{way.name('alice')}@example.com")
    way.ask("UpdateUser", alice, username=way.name("alice"), email="nowhere")


@scenario
def changing_to_a_taken_address(way):
    alice = way.user()
    way.user("bob")
    way.ask("UpdateUser", alice, username=way.name("alice"), email=f"{way.name('bob')}@example.com")


@scenario
def changing_ones_password(way):
    alice = way.user()
    way.ask("UpdateUser", alice, username=way.name("alice"), password="short")
    way.ask("UpdateUser", alice, username=way.name("alice"), password="a new password")
    way.ask("GetUser", alice, username=way.name("alice"))
    way.ask("LoginUser", username=way.name("alice"), password=PASSWORD)
    way.ask("LoginUser", username=way.name("alice"), password="a new password")


@scenario
def changing_somebody_else(way):
    alice = way.user()
    way.user("bob")
    way.ask("UpdateUser", alice, username=way.name("bob"), full_name="Mallory")
    way.ask("UpdateUser", alice, username="nobody_at_all", full_name="Mallory")
    way.ask("UpdateUser", alice, username="nobody_at_all", full_name="")


@scenario
def staff_changing_users(way):
    way.user()
    banker, auditor = way.staff("banker"), way.staff("auditor")
    way.ask("UpdateUser", banker, username=way.name("alice"), full_name="Alice C")
    way.ask("UpdateUser", banker, username=way.name("auditor"), full_name="Nobody")
    way.ask("UpdateUser", auditor, username=way.name("alice"), full_name="Alice D")


# Sessions


@scenario
def logging_in(way):
    way.user()
    way.ask("LoginUser", username=way.name("alice"), password=PASSWORD)


@scenario
def logging_in_with_something_wrong(way):
    way.user()
    way.ask("LoginUser", username=way.name("alice"), password="wrong password")
    way.ask("LoginUser", username="nobody_at_all", password="wrong password")
    way.ask("LoginUser", username="", password="")
    way.ask("LoginUser", username="N0 NAME", password="x")


@scenario
def logging_in_unverified(way):
    alice = way.user(verified=False)
    way.ask("LoginUser", username=way.name("alice"), password=PASSWORD)
    way.ask("CreateAccount", alice, currency="USD")


@scenario
def logging_in_disabled(way):
    way.user()
    with psycopg.connect(way.service.database_url) as connection:
        connection.execute("update users set roles = '{}' where username = %s", [way.name("alice")])
    way.ask("LoginUser", username=way.name("alice"), password=PASSWORD)
    way.ask("LoginUser", username=way.name("alice"), password="wrong password")


@scenario
def renewing(way):
    way.user()
    login = way.ask("LoginUser", username=way.name("alice"), password=PASSWORD)
    renewed = way.ask("RenewAccess", refresh_token=login["refresh_token"])
    way.ask("RenewAccess", refresh_token=renewed["refresh_token"])
    way.ask("ListAccounts", renewed["access_token"])


@scenario
def renewing_twice_with_one_token(way):
    way.user()
    login = way.ask("LoginUser", username=way.name("alice"), password=PASSWORD)
    renewed = way.ask("RenewAccess", refresh_token=login["refresh_token"])
    way.ask("RenewAccess", refresh_token=login["refresh_token"])
    way.ask("RenewAccess", refresh_token=renewed["refresh_token"])
    way.ask("ListAccounts", renewed["access_token"])


@scenario
def tokens_in_each_others_place(way):
    way.user()
    login = way.ask("LoginUser", username=way.name("alice"), password=PASSWORD)
    way.ask("ListAccounts", login["refresh_token"])
    way.ask("RenewAccess", refresh_token=login["access_token"])
    way.ask("RenewAccess", refresh_token="")


@scenario
def listing_sessions(way):
    alice = way.user()
    way.ask("LoginUser", username=way.name("alice"), password=PASSWORD)
    way.ask("ListSessions", alice)
    way.ask("ListSessions")


@scenario
def ending_another_session_of_ones_own(way):
    alice = way.user()
    other = way.ask("LoginUser", username=way.name("alice"), password=PASSWORD)
    way.ask("RevokeSession", alice, id=other["session_id"])
    way.ask("RevokeSession", alice, id=other["session_id"])
    way.ask("ListAccounts", other["access_token"])
    way.ask("RenewAccess", refresh_token=other["refresh_token"])
    way.ask("ListAccounts", alice)


@scenario
def ending_a_session_that_is_none_of_ones_own(way):
    alice = way.user()
    way.user("bob")
    bobs = way.ask("LoginUser", username=way.name("bob"), password=PASSWORD)
    for session in (bobs["session_id"], str(uuid4()), "no-uuid"):
        way.ask("RevokeSession", alice, id=session)
    way.ask("ListAccounts", bobs["access_token"])


@scenario
def logging_out(way):
    alice = way.user()
    other = way.ask("LoginUser", username=way.name("alice"), password=PASSWORD)
    way.ask("LogoutUser", alice)
    way.ask("ListAccounts", alice)
    way.ask("ListAccounts", other["access_token"])


@scenario
def logging_out_everywhere(way):
    alice = way.user()
    other = way.ask("LoginUser", username=way.name("alice"), password=PASSWORD)
    way.ask("LogoutUser", alice, everywhere=True)
    way.ask("ListAccounts", other["access_token"])
    way.ask("RenewAccess", refresh_token=other["refresh_token"])


# Mail


@scenario
def asking_for_mails(way):
    way.user(verified=False)
    for address in (f"{way.name('alice')}@example.com", "nobody@example.com"):
        way.ask("ResendVerification", email=address)
        way.ask("RequestPasswordReset", email=address)
    way.ask("ResendVerification", email="nowhere")
    way.ask("RequestPasswordReset", email="")


@scenario
def proving_an_address(way):
    way.service.register(way.name("alice"), verified=False)
    link = way.service.verification_link(f"{way.name('alice')}@example.com")
    carried = dict(httpx.URL(link).params)
    way.ask("VerifyEmail", email_id=carried["email_id"], secret_code=CODE)
    way.ask("VerifyEmail", **carried)
    way.ask("VerifyEmail", **carried)


@scenario
def proving_an_address_with_nonsense(way):
    way.ask("VerifyEmail", email_id=str(uuid4()), secret_code=CODE)
    way.ask("VerifyEmail", email_id="no-uuid", secret_code=CODE)
    way.ask("VerifyEmail", email_id="", secret_code="")


@scenario
def resetting_a_password_with_nonsense(way):
    way.ask("ConfirmPasswordReset", reset_id=str(uuid4()), secret_code=CODE, password="a new password")
    way.ask("ConfirmPasswordReset", reset_id="no-uuid", secret_code=CODE, password="a new password")
    way.ask("ConfirmPasswordReset", reset_id=str(uuid4()), secret_code=CODE, password="short")
    way.ask("ConfirmPasswordReset", reset_id="no-uuid", secret_code=CODE, password="short")


# Security events


@scenario
def reading_security_events(way):
    alice = way.user()
    for token in (alice, way.staff("banker"), way.staff("auditor"), way.staff("admin"), None):
        way.ask("ListSecurityEvents", token, username=way.name("alice"))


@scenario
def paging_security_events(way):
    way.user()
    way.ask("LoginUser", username=way.name("alice"), password="wrong password")
    auditor = way.staff("auditor")
    first = way.ask("ListSecurityEvents", auditor, username=way.name("alice"), limit=1)
    way.ask("ListSecurityEvents", auditor, username=way.name("alice"), limit=1, cursor=first["next_cursor"])
    way.ask("ListSecurityEvents", auditor, limit=101)


# Accounts


@scenario
def opening_accounts(way):
    alice = way.user()
    opened = way.ask("CreateAccount", alice, currency="USD", name="Checking")
    way.ask("CreateAccount", alice, currency="EUR")
    way.ask("GetAccount", alice, id=int(opened["id"]))
    way.ask("ListAccounts", alice)


@scenario
def opening_accounts_wrongly(way):
    alice = way.user()
    way.ask("CreateAccount", alice, currency="usd")
    way.ask("CreateAccount", alice, currency="XXX", name="x" * 101)
    way.ask("CreateAccount", alice, currency="", name="a\nb")
    way.ask("CreateAccount", currency="USD")


@scenario
def opening_an_account_with_a_key(way):
    alice = way.user()
    way.ask("CreateAccount", alice, key="k", currency="USD", name="x")
    way.ask("CreateAccount", alice, key="k", currency="USD", name="x")
    way.ask("CreateAccount", alice, key="k", currency="EUR", name="x")
    way.ask("CreateAccount", alice, key="x" * 256, currency="USD")
    way.ask("ListAccounts", alice)


@scenario
def opening_accounts_as_staff(way):
    for role in ("banker", "admin", "auditor"):
        way.ask("CreateAccount", way.staff(role), currency="USD")


@scenario
def reading_somebody_elses_account(way):
    alice = way.user()
    way.user("bob")
    theirs = way.account("bob")
    for account in (theirs, NOBODYS):
        way.ask("GetAccount", alice, id=account)
        way.ask("ListEntries", alice, account_id=account)


@scenario
def staff_reading_accounts(way):
    way.user()
    account = way.account()
    for role in ("banker", "auditor", "admin"):
        token = way.staff(role)
        way.ask("GetAccount", token, id=account)
        way.ask("ListEntries", token, account_id=account)
        way.ask("GetAccount", token, id=NOBODYS)


@scenario
def paging_accounts(way):
    alice = way.user()
    for currency in ("USD", "EUR", "CAD"):
        way.account(currency=currency)
    first = way.ask("ListAccounts", alice, limit=2)
    way.ask("ListAccounts", alice, limit=2, cursor=first["next_cursor"])


@scenario
def paging_wrongly(way):
    alice = way.user()
    account = way.account()
    for paging in ({"limit": 101}, {"limit": -1}, {"cursor": "x"}, {"cursor": "0"}, {"cursor": "-1"}):
        way.ask("ListAccounts", alice, **paging)
        way.ask("ListEntries", alice, account_id=account, **paging)


# Money of the bank


@scenario
def depositing_and_withdrawing(way):
    alice, banker = way.user(), way.staff("banker")
    account = way.account()
    way.ask("Deposit", banker, account_id=account, amount=100)
    way.ask("Withdraw", banker, account_id=account, amount=30)
    way.ask("Withdraw", banker, account_id=account, amount=71)
    way.ask("GetAccount", alice, id=account)
    way.ask("ListEntries", alice, account_id=account)


@scenario
def depositing_with_a_key(way):
    way.user()
    banker, account = way.staff("banker"), way.account()
    way.ask("Deposit", banker, key="k", account_id=account, amount=100)
    way.ask("Deposit", banker, key="k", account_id=account, amount=100)
    way.ask("Deposit", banker, key="k", account_id=account, amount=101)
    way.ask("Withdraw", banker, key="k", account_id=account, amount=100)
    way.ask("GetAccount", banker, id=account)


@scenario
def depositing_without_being_a_banker(way):
    alice = way.user()
    account = way.account()
    for token in (alice, way.staff("admin"), way.staff("auditor"), None):
        way.ask("Deposit", token, account_id=account, amount=100)
        way.ask("Withdraw", token, account_id=account, amount=100)


@scenario
def depositing_wrongly(way):
    way.user()
    banker, account = way.staff("banker"), way.account()
    for amount in (0, -1, 2**53, 2**63 - 1):
        way.ask("Deposit", banker, account_id=account, amount=amount)
    way.ask("Deposit", banker, account_id=NOBODYS, amount=1)


@scenario
def depositing_into_the_banks_own_account(way):
    with psycopg.connect(way.service.database_url) as connection:
        row = connection.execute(
            "select id from accounts where kind = 'settlement' and currency = 'USD'"
        ).fetchone()
    way.ask("Deposit", way.staff("banker"), account_id=row[0], amount=1)


@scenario
def a_refused_withdrawal_with_a_key(way):
    way.user()
    banker, account = way.staff("banker"), way.account()
    way.ask("Withdraw", banker, key="k", account_id=account, amount=1)
    way.ask("Deposit", banker, account_id=account, amount=1)
    way.ask("Withdraw", banker, key="k", account_id=account, amount=1)


# Transfers


@scenario
def transferring(way):
    alice = way.user()
    bob = way.user("bob")
    source, target = way.account(funds=100), way.account("bob")
    made = transfer(way, alice, source, target)
    moved = int(made["transfer"]["id"])
    way.ask("GetTransfer", alice, id=moved)
    way.ask("GetTransfer", bob, id=moved)
    way.ask("ListEntries", alice, account_id=source)
    way.ask("ListEntries", bob, account_id=target)
    way.ask("GetAccount", bob, id=target)


@scenario
def transferring_between_ones_own(way):
    alice = way.user()
    source, target = way.account(funds=100), way.account()
    transfer(way, alice, source, target, 100)
    transfer(way, alice, target, source, 50)
    way.ask("ListAccounts", alice)


@scenario
def transferring_too_much(way):
    alice = way.user()
    source, target = way.account(funds=10), way.account()
    transfer(way, alice, source, target, 11)
    transfer(way, alice, source, target, 10)
    transfer(way, alice, source, target, 1)


@scenario
def transferring_to_itself(way):
    alice = way.user()
    account = way.account(funds=10)
    transfer(way, alice, account, account)


@scenario
def transferring_in_the_wrong_currency(way):
    alice = way.user()
    dollars, euros = way.account(funds=10), way.account(currency="EUR")
    transfer(way, alice, dollars, euros)
    transfer(way, alice, dollars, euros, currency="EUR")
    transfer(way, alice, dollars, euros, currency="GBP")


@scenario
def transferring_what_is_not_ones_own(way):
    alice = way.user()
    way.user("bob")
    mine, theirs = way.account(funds=10), way.account("bob", funds=10)
    transfer(way, alice, theirs, mine)
    transfer(way, alice, NOBODYS, mine)
    transfer(way, alice, mine, NOBODYS)


@scenario
def transferring_to_the_banks_own_account(way):
    alice = way.user()
    with psycopg.connect(way.service.database_url) as connection:
        row = connection.execute(
            "select id from accounts where kind = 'settlement' and currency = 'USD'"
        ).fetchone()
    transfer(way, alice, way.account(funds=10), row[0])


@scenario
def transferring_with_a_closed_or_frozen_account(way):
    alice = way.user()
    closed, frozen, open_ = way.account(funds=10), way.account(funds=10), way.account(funds=10)
    with psycopg.connect(way.service.database_url) as connection:
        connection.execute("update accounts set status = 'closed' where id = %s", [closed])
        connection.execute("update accounts set status = 'frozen' where id = %s", [frozen])
    for source, target in (
        (closed, open_),
        (open_, closed),
        (frozen, open_),
        (open_, frozen),
        (closed, frozen),
    ):
        transfer(way, alice, source, target)
    way.ask("GetAccount", alice, id=closed)


@scenario
def transferring_amounts_that_are_none(way):
    alice = way.user()
    source, target = way.account(funds=10), way.account()
    for amount in (0, -1, 2**53, 2**63 - 1, -(2**63)):
        transfer(way, alice, source, target, amount)


@scenario
def transferring_with_everything_wrong(way):
    transfer(way, way.user(), 0, -1, 0, currency="dollars")


@scenario
def transferring_with_a_key(way):
    alice = way.user()
    source, target = way.account(funds=100), way.account()
    for amount in (10, 10, 11):
        way.ask(
            "CreateTransfer",
            alice,
            key="rent",
            from_account_id=source,
            to_account_id=target,
            amount=amount,
            currency="USD",
        )
    way.ask("GetAccount", alice, id=source)


@scenario
def a_refused_transfer_with_a_key(way):
    alice, banker = way.user(), way.staff("banker")
    source, target = way.account(), way.account()
    asked = {"from_account_id": source, "to_account_id": target, "amount": 5, "currency": "USD"}
    way.ask("CreateTransfer", alice, key="k", **asked)
    way.ask("Deposit", banker, account_id=source, amount=5)
    way.ask("CreateTransfer", alice, key="k", **asked)
    way.ask("CreateTransfer", alice, key="k2", **asked)


@scenario
def a_key_used_for_something_else(way):
    alice = way.user()
    source, target = way.account(funds=10), way.account()
    way.ask("CreateAccount", alice, key="k", currency="USD")
    asked = {"from_account_id": source, "to_account_id": target, "amount": 5, "currency": "USD"}
    way.ask("CreateTransfer", alice, key="k", **asked)


@scenario
def two_users_with_one_key(way):
    alice, bob = way.user(), way.user("bob")
    for token, of in ((alice, "alice"), (bob, "bob")):
        source, target = way.account(of, funds=10), way.account(of)
        asked = {"from_account_id": source, "to_account_id": target, "amount": 5, "currency": "USD"}
        way.ask("CreateTransfer", token, key="rent", **asked)


@scenario
def keys_that_are_none(way):
    alice = way.user()
    source, target = way.account(funds=10), way.account()
    asked = {"from_account_id": source, "to_account_id": target, "amount": 5, "currency": "USD"}
    for key in ("x" * 256, ""):
        way.ask("CreateTransfer", alice, key=key, **asked)


@scenario
def transferring_without_a_login_or_unverified(way):
    alice = way.user(verified=False)
    source, target = way.account(funds=10), way.account()
    transfer(way, None, source, target)
    transfer(way, alice, source, target)
    transfer(way, alice, source, target, 0)


@scenario
def transferring_as_staff(way):
    way.user()
    source, target = way.account(funds=10), way.account()
    for role in ("banker", "admin", "auditor"):
        token = way.staff(role)
        transfer(way, token, source, target)
        transfer(way, token, source, target, 0)


@scenario
def reading_transfers(way):
    alice, carol = way.user(), way.user("carol")
    made = transfer(way, alice, way.account(funds=10), way.account())
    moved = int(made["transfer"]["id"])
    for token in (carol, way.staff("banker"), way.staff("auditor"), way.staff("admin"), None):
        way.ask("GetTransfer", token, id=moved)
    way.ask("GetTransfer", alice, id=NOBODYS)


@scenario
def paging_entries(way):
    alice = way.user()
    source, target = way.account(funds=100), way.account()
    for amount in (1, 2, 3):
        transfer(way, alice, source, target, amount)
    first = way.ask("ListEntries", alice, account_id=source, limit=2)
    way.ask("ListEntries", alice, account_id=source, limit=2, cursor=first["next_cursor"])
    way.ask("ListEntries", alice, account_id=target, limit=100)


@pytest.fixture(scope="module")
def doors(service: ServiceProcess):
    with (
        grpc.insecure_channel(service.grpc) as channel,
        httpx.Client(base_url=service.http, timeout=30) as http,
    ):
        yield channel, http


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_answers_are_the_same(service: ServiceProcess, doors, name: str):
    told = {}
    for kind in (V1, GATEWAY, GRPC):
        way = Way(kind, service, *doors)
        SCENARIOS[name](way)
        told[kind] = way.told
    assert told[V1]
    assert told[GRPC] == told[V1]
    assert told[GATEWAY] == told[GRPC]


def test_there_are_scenarios_enough():
    assert len(SCENARIOS) >= 60
