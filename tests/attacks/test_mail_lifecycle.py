"""Codes in mails: good once, in time, for one user and one address; and what an unproven address keeps one from."""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode
from datetime import timedelta
from statistics import median

import psycopg
import pytest

from application.mailed_links import ANSWERED_AFTER_S
from tests.attacks.asking import CHANGED, OK, RESET, VERIFY, Ask, Asking
from tests.support.service import PASSWORD, open_accounts

SAMPLES = 20
DIFFERENCE_MAX = 0.25
OTHER_PASSWORD = "another horse entirely"


def address_of(name: str) -> str:
    return f"{name}@example.com"


def make_old(asked: Asking, table: str, name: str) -> None:
    with psycopg.connect(asked.service.database_url, autocommit=True) as connection:
        connection.execute(
            f"update {table} set created_at = now() - interval '1 hour', expires_at = now() - interval '1 second' "
            "where username = %s",
            [name],
        )


def is_verified(asked: Asking, name: str) -> bool:
    with psycopg.connect(asked.service.database_url) as connection:
        row = connection.execute("select is_email_verified from users where username = %s", [name]).fetchone()
    assert row is not None
    return row[0]


def test_a_verification_link_is_good_once(asked, ask):
    name = asked.user(verified=False)
    link = asked.secret(address_of(name), VERIFY)
    assert ask("VerifyEmail", **link).body == {"is_verified": True}
    assert ask("VerifyEmail", **link).code == "not_found"
    assert is_verified(asked, name)


def test_looking_whether_a_verification_link_is_there_does_not_use_it_up(asked):
    name = asked.user(verified=False)
    link = asked.secret(address_of(name), VERIFY)
    for path in ("/v1/verify_email", "/v2/users:verifyEmail"):
        answer = asked.client().head(path, params=link)
        assert answer.status_code == 405
        assert "HEAD" not in answer.headers["allow"]
    assert not is_verified(asked, name)
    assert asked.http("VerifyEmail", **link).code == OK


def test_a_verification_link_expires(asked, ask):
    name = asked.user(verified=False)
    link = asked.secret(address_of(name), VERIFY)
    make_old(asked, "email_verifications", name)
    assert ask("VerifyEmail", **link).code == "not_found"
    assert not is_verified(asked, name)


def test_a_code_has_256_bits_and_15_minutes(asked, ask):
    name = asked.user(verified=False)
    codes = [asked.secret(address_of(name), VERIFY)["secret_code"], reset(asked, ask, name)["secret_code"]]
    assert ask("ResendVerification", email=address_of(name)).code == OK
    codes.append(asked.secret(address_of(name), VERIFY, number=2)["secret_code"])
    assert len(set(codes)) == 3
    assert {(len(code), len(urlsafe_b64decode(f"{code}="))) for code in codes} == {(43, 256 // 8)}
    with psycopg.connect(asked.service.database_url) as connection:
        for table, number in (("email_verifications", 2), ("password_resets", 1)):
            lasts = f"select expires_at - created_at from {table} where username = %s"
            assert connection.execute(lasts, [name]).fetchall() == [(timedelta(minutes=15),)] * number


def test_a_code_verifies_nobody_else(asked, ask):
    names = [asked.user(verified=False) for _ in range(2)]
    links = [asked.secret(address_of(name), VERIFY) for name in names]
    swapped = [links[0] | {"secret_code": links[1]["secret_code"]}, links[1] | {"secret_code": "x" * 43}]
    swapped += [links[0] | {"email_id": text} for text in ("", "1", "0" * 400, "' or true --")]
    assert {ask("VerifyEmail", **link).code for link in swapped} == {"not_found"}
    assert not any(is_verified(asked, name) for name in names)
    assert ask("VerifyEmail", **links[0]).code == OK  # trying has not used it up


def test_a_link_to_the_former_address_verifies_nothing(asked, ask):
    name = asked.user(verified=False)
    link = asked.secret(address_of(name), VERIFY)
    new = address_of(f"new_{name}")
    assert ask("UpdateUser", asked.token(name), username=name, email=new).code == OK
    assert ask("VerifyEmail", **link).code == "not_found"
    assert not is_verified(asked, name)
    assert ask("VerifyEmail", **asked.secret(new, VERIFY)).code == OK
    assert is_verified(asked, name)


def test_both_addresses_hear_of_a_change_and_the_new_one_is_unproven(asked, ask):
    name = asked.user()
    new = address_of(f"new_{name}")
    answer = ask("UpdateUser", asked.token(name), username=name, email=new)
    user = answer.body.get("user", answer.body)
    assert (user["email"], user["is_email_verified"]) == (new, False)
    (told,) = asked.mails(address_of(name), CHANGED)
    assert new not in told.get_body(("plain",)).get_content()
    assert len(asked.mails(new, VERIFY)) == 1


def test_an_unproven_address_keeps_from_opening_accounts_and_moving_money(asked, ask):
    unverified, changed = asked.user(verified=False), asked.user()
    database_url = asked.service.database_url
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "update users set roles = '{banker, depositor}' where username = any(%s)", [[unverified, changed]]
        )
    tokens = {name: asked.token(name) for name in (unverified, changed)}
    accounts = {name: open_accounts(database_url, name, 2, overdraft=100) for name in tokens}

    def move(name: str) -> set[str]:
        source, target = accounts[name]
        transfer = {"from_account_id": source, "to_account_id": target, "amount": 1, "currency": "USD"}
        bank_money = {"account_id": source, "amount": 1}
        ways = {"CreateTransfer": transfer, "Deposit": bank_money, "Withdraw": bank_money}
        answers = [ask(way, tokens[name], **fields) for way, fields in ways.items()]
        return {
            each.code for each in [*answers, asked.grpc("BatchTransfers", tokens[name], transfers=[transfer])]
        }

    assert move(changed) == {OK}
    changes = {"username": changed, "email": address_of(f"new_{changed}")}
    assert ask("UpdateUser", tokens[changed], **changes).code == OK
    for name in tokens:
        assert ask("CreateAccount", tokens[name], currency="USD").code == "email_not_verified"
        assert move(name) == {"email_not_verified"}
    assert ask("VerifyEmail", **asked.secret(changes["email"], VERIFY)).code == OK
    assert move(changed) == {OK}


def reset(asked: Asking, ask: Ask, name: str, *, number: int = 1) -> dict[str, str]:
    assert ask("RequestPasswordReset", email=address_of(name)).code == OK
    return asked.secret(address_of(name), RESET, number=number)


def confirm(ask: Ask, carried: dict[str, str], password: str = OTHER_PASSWORD) -> str:
    return ask("ConfirmPasswordReset", **carried, password=password).code


def logs_in(asked: Asking, name: str, password: str) -> bool:
    return asked.http("LoginUser", username=name, password=password).code == OK


def test_a_reset_is_good_once_and_a_weak_password_leaves_it_good(asked, ask):
    name = asked.user(verified=False)
    token, carried = asked.token(name), reset(asked, ask, name)
    for weak in ("seven77", "x" * 129, "PassWord1", ""):
        assert confirm(ask, carried, weak) == "invalid_argument"
    assert confirm(ask, carried) == OK
    assert confirm(ask, carried, "a third horse again") == "not_found"
    assert ask("ListSessions", token).code == "session_revoked"
    assert not logs_in(asked, name, PASSWORD)
    assert logs_in(asked, name, OTHER_PASSWORD)
    assert asked.mails(address_of(name), "Your password was changed")


def test_a_reset_that_is_expired_wrong_or_of_somebody_else_changes_nothing(asked, ask):
    names = [asked.user(verified=False) for _ in range(2)]
    first, second = (reset(asked, ask, name) for name in names)
    wrong = [
        first | {"secret_code": second["secret_code"]},
        first | {"secret_code": first["secret_code"][:-1]},
        first | {"secret_code": ""},
        first | {"reset_id": ""},
    ]
    assert {confirm(ask, each) for each in wrong} == {"not_found"}
    make_old(asked, "password_resets", names[0])
    assert confirm(ask, first) == "not_found"
    assert all(logs_in(asked, name, PASSWORD) for name in names)


@pytest.mark.parametrize("change", [{"email": "changed_{}@example.com"}, {"password": "a horse in between"}])
def test_a_reset_is_void_once_the_address_or_the_password_has_changed(asked, ask, change):
    name = asked.user(verified=False)
    carried = reset(asked, ask, name)
    fields = {field: value.format(name) for field, value in change.items()}
    assert ask("UpdateUser", asked.token(name), username=name, **fields).code == OK
    assert confirm(ask, carried) == "not_found"
    assert not logs_in(asked, name, OTHER_PASSWORD)


def test_of_two_resets_the_first_that_is_used_voids_the_other(asked, ask):
    name = asked.user(verified=False)
    first = reset(asked, ask, name)
    second = reset(asked, ask, name, number=2)
    assert first["reset_id"] != second["reset_id"]
    assert confirm(ask, first) == OK
    assert confirm(ask, second, "a third horse again") == "not_found"


@pytest.mark.parametrize("name", ["RequestPasswordReset", "ResendVerification"])
def test_nobody_learns_which_addresses_are_known(asked, ask, name):
    verified, unverified = asked.user(), asked.user(verified=False)
    addresses = [
        address_of(verified),
        address_of(unverified).upper(),
        f"nobody{time.monotonic_ns()}@example.com",
    ]
    answers = [ask(name, email=address) for address in addresses]
    assert answers[0].code == OK
    assert answers[0].told == answers[1].told == answers[2].told


@pytest.mark.parametrize("name", ["RequestPasswordReset", "ResendVerification"])
def test_how_long_it_takes_does_not_tell_whether_a_mail_is_sent(asked, ask, name):
    known, unknown = address_of(asked.user(verified=False)), f"nobody{time.monotonic_ns()}@example.com"

    def seconds(address: str) -> float:
        began = time.perf_counter()
        assert ask(name, email=address).code == OK
        return time.perf_counter() - began

    times = [(seconds(known), seconds(unknown)) for _ in range(SAMPLES)]
    sent, not_sent = (median(each) for each in zip(*times, strict=True))
    print(f"\n{name}: sent {sent * 1000:.1f} ms, not sent {not_sent * 1000:.1f} ms")
    assert min(map(min, times)) >= ANSWERED_AFTER_S
    assert abs(sent - not_sent) <= DIFFERENCE_MAX * max(sent, not_sent)


def test_a_verified_address_is_sent_no_second_link(asked, ask):
    verified, unverified = asked.user(), asked.user(verified=False)
    for name in (verified, unverified):
        assert ask("ResendVerification", email=address_of(name)).code == OK
    assert len(asked.mails(address_of(unverified), VERIFY, number=2)) == 2  # mails go in order
    assert len(asked.mails(address_of(verified), VERIFY)) == 1


def test_what_a_user_has_chosen_is_harmless_in_a_mail(asked, ask):
    name = f"mail{time.monotonic_ns()}"[:32]
    address = f"{name}.o'neil+tag%x@example.com"
    full_name = "<script>alert(1)</script>\"'&{{7*7}} %0d%0aBcc: x@example.com"
    answer = ask("CreateUser", username=name, password=PASSWORD, full_name=full_name, email=address)
    assert answer.code == OK
    (mail,) = asked.mails(address, VERIFY)
    assert [each.addr_spec for each in mail["To"].addresses] == [address]
    assert mail["Bcc"] is None
    assert "<script>" not in mail.get_body(("html",)).get_content()
    assert full_name in mail.get_body(("plain",)).get_content()
