"""Guessing and mail-bombing meet limits, wherever they seem to come from; whom they are aimed at does not.

A service of its own with its limits on, and a proxy that it trusts: whoever connects from 127.0.0.1. Each test
comes from addresses, and is about people, of its own. What would need very many tries begins close to the limit.
No test asserts that a limit is met at once: a Redis that is slow for a moment makes the process count for itself.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count, cycle
from pathlib import Path

import grpc
import pytest
import redis

from application.throttle import (
    LOGINS,
    LOGINS_OF_ACCOUNT,
    LOGINS_OF_ACCOUNT_HERE,
    MAILS,
    PASSWORDS,
    REGISTRATIONS,
    RESETS,
    RESETS_TO,
    VERIFICATIONS_TO,
)
from infra.local.redis import LocalRedis
from persistence.rate_limits import Limit, Try
from tests.attacks.asking import OK, RESET, VERIFY, Answer, Ask, Asking, asking, request_type
from tests.attacks.test_grpc_protocol import Attacker, framed
from tests.support.service import PASSWORD, ServiceProcess

PROXY, STRANGER = "127.0.0.1", "127.0.0.2"
TRIES_MAX = 260
"""More than twice the highest limit: what Redis counts and what the process counts while Redis is slow."""
OTHER_PASSWORD = "another horse entirely"
STATUSES = {str(code.value[0]): code for code in grpc.StatusCode}
LINKS_TO = {"RequestPasswordReset": RESETS_TO, "ResendVerification": VERIFICATIONS_TO}
_numbers = count(1)


@contextmanager
def limiting(folder: Path, database_url: str, redis_url: str) -> Iterator[Asking]:
    """A service with its limits on, for the block."""
    process = ServiceProcess(folder, database_url, redis_url, RATE_LIMITS="on", TRUSTED_PROXIES=PROXY).start()
    with asking(process) as asked:
        yield asked
    assert process.stop() == 0, process.log.read_text()


@pytest.fixture(scope="module")
def asked(postgres_server, redis_server, migrated_template, tmp_path_factory) -> Iterator[Asking]:
    postgres_server.create_database("limited", template=migrated_template)
    redis_url = redis_server.url.replace("db=0", "db=4")
    with limiting(tmp_path_factory.mktemp("limited"), postgres_server.url("limited"), redis_url) as asked:
        yield asked


def address() -> str:
    """Where nobody has been."""
    number = next(_numbers)
    return f"10.1.{number // 250}.{number % 250 + 1}"


def seen_by_proxy(*addresses: str) -> dict[str, str]:
    return {"X-Forwarded-For": ", ".join(addresses)}


def spent(asked: Asking, limit: Limit, subject: str, *, left: int) -> None:
    """As after all tries but so many."""
    with redis.Redis.from_url(asked.service.environment["REDIS_URL"]) as client:
        client.set(Try(limit, subject).key, limit.tries - left, ex=limit.period_s)


def until_limited(attempt: Callable[[], Answer], code: str = "unauthenticated") -> int:
    """How many tries are answered with this code before one is too many."""
    for done in range(TRIES_MAX):
        answer = attempt()
        if answer.code == "rate_limited":
            assert_says_when(answer)
            return done
        assert answer.code == code
    raise AssertionError(f"no limit in {TRIES_MAX} tries")


def assert_says_when(answer: Answer) -> None:
    assert answer.status == 429 or answer.status.name == "RESOURCE_EXHAUSTED"
    assert 0 < int(answer.headers["retry-after"]) <= 3600


def guess(ask, name: str, *path: str):
    return ask("LoginUser", username=name, password="a wrong guess", headers=seen_by_proxy(*path))


def enter(ask, name: str, where: str, password: str = PASSWORD):
    return ask("LoginUser", username=name, password=password, headers=seen_by_proxy(where))


def test_guessing_one_account_is_limited_and_its_owner_gets_in_where_he_has_been(asked, ask):
    owner, home, attacker = asked.user(), address(), address()
    assert enter(ask, owner, home).code == OK
    assert until_limited(lambda: guess(ask, owner, attacker)) >= LOGINS_OF_ACCOUNT_HERE.tries
    assert enter(ask, owner, attacker).code == "rate_limited"  # even with the right password
    # From very many addresses, a few tries at each.
    spent(asked, LOGINS_OF_ACCOUNT, owner, left=5)
    assert until_limited(lambda: guess(ask, owner, address())) >= 5
    assert enter(ask, owner, home).code == OK


def test_an_owner_under_attack_gets_in_at_a_new_address_after_a_reset_by_mail(asked, ask):
    owner, new = asked.user(), address()
    email, here = f"{owner}@example.com", seen_by_proxy(new)
    spent(asked, LOGINS_OF_ACCOUNT, owner, left=0)
    assert until_limited(lambda: guess(ask, owner, new)) < TRIES_MAX

    def request(where: str) -> Answer:
        return ask("RequestPasswordReset", email=email, headers=seen_by_proxy(where))

    # The attacker asks too, until nobody can any more: then there is a link that is good for as long as that.
    sent = until_limited(lambda: request(address()), OK)
    sent += until_limited(lambda: request(new), OK)
    carried = asked.secret(email, RESET, number=sent)
    assert ask("ConfirmPasswordReset", **carried, password=OTHER_PASSWORD, headers=here).code == OK
    assert enter(ask, owner, new, OTHER_PASSWORD).code == OK
    assert until_limited(lambda: guess(ask, owner, address())) < TRIES_MAX  # the attack goes on in vain


def test_an_owner_is_known_in_the_whole_of_an_ipv6_network(asked, ask):
    owner, network = asked.user(), f"2001:db8:{next(_numbers):x}"
    assert enter(ask, owner, f"{network}::1").code == OK
    spent(asked, LOGINS_OF_ACCOUNT, owner, left=0)
    assert until_limited(lambda: guess(ask, owner, address())) < TRIES_MAX
    assert enter(ask, owner, f"{network}::2:3").code == OK


def test_who_asks_in_vain_for_what_is_taken_keeps_no_link_from_its_owner(asked, ask):
    owner, other = asked.user(verified=False), asked.user()
    email, token = f"{owner}@example.com", asked.token(other)
    fields = {"password": PASSWORD, "full_name": "C", "email": email}
    for number in range(2 * VERIFICATIONS_TO.tries):
        where = seen_by_proxy(address())
        assert ask("CreateUser", username=f"{owner}_{number}", **fields, headers=where).code == "already_exists"
        changed = ask("UpdateUser", token, username=other, email=email, headers=where)
        assert changed.code == "already_exists"
    assert ask("ResendVerification", email=email, headers=seen_by_proxy(address())).code == OK
    assert len(asked.mails(email, VERIFY, number=2)) == 2


def test_guessing_many_accounts_from_one_address_is_limited(asked, ask):
    attacker, names = address(), (f"nobody_{number}" for number in count())
    spent(asked, LOGINS, attacker, left=5)
    assert until_limited(lambda: guess(ask, next(names), attacker)) >= 5
    assert guess(ask, next(names), address()).code == "unauthenticated"


def test_logins_that_succeed_do_not_use_up_the_limit(asked, ask):
    owner, home = asked.user(), address()
    spent(asked, LOGINS, home, left=1)
    spent(asked, LOGINS_OF_ACCOUNT_HERE, f"{owner} {home}", left=1)
    for _ in range(4):
        assert enter(ask, owner, home).code == OK
    assert guess(ask, owner, home).code == "unauthenticated"
    assert until_limited(lambda: guess(ask, owner, home)) < TRIES_MAX


def test_logins_at_once_that_succeed_are_all_let_in(asked, ask):
    owner, home = asked.user(), address()
    at_once = 3 * LOGINS_OF_ACCOUNT_HERE.tries
    with ThreadPoolExecutor(at_once) as threads:
        answers = list(threads.map(lambda _: enter(ask, owner, home), range(at_once)))
    assert {answer.code for answer in answers} == {OK}


@pytest.fixture(params=["http", "grpc"])
def strange(request: pytest.FixtureRequest, asked: Asking) -> Iterator[Ask]:
    """Either way in, from an address that is no proxy of ours."""
    if request.param == "http":
        yield partial(asked.http, source=STRANGER)
        return
    # By hand: grpcio has no say in where it comes from, and sends no odd bytes.
    peer, source = ("127.0.0.1", asked.service.grpc_port), (STRANGER, 0)
    with socket.create_connection(peer, timeout=30, source_address=source) as connection:
        client = Attacker(connection)
        client.h2.initiate_connection()

        def call(name: str, *, headers: dict[bytes, bytes], **fields: str) -> Answer:
            message = framed(request_type(name)(**fields).SerializeToString())
            extra = [(key.decode().lower(), value.decode()) for key, value in headers.items()]
            trailers = client.trailers(client.call(message, *extra, path=f"/transactions.v2.Identity/{name}"))
            return Answer(trailers.get("error-code", OK), STATUSES[trailers["grpc-status"]], trailers, {})

        yield call


@pytest.mark.parametrize("lie", ["127.0.0.1", "10.9.9.9", "{}", "2001:db8::{}", "unknown", ", ,", "é"])
def test_a_stranger_may_say_what_he_likes_of_where_he_comes_from(asked, strange, lie):
    numbers = count(1)
    name, email = f"stranger_{next(_numbers)}", f"stranger{next(_numbers)}@example.com"
    spent(asked, LOGINS_OF_ACCOUNT_HERE, f"{name} {STRANGER}", left=2)
    spent(asked, MAILS, STRANGER, left=TRIES_MAX)

    def headers() -> dict[bytes, bytes]:
        return {b"X-Forwarded-For": lie.format(next(numbers)).encode(), b"Forwarded": b"for=10.8.8.8"}

    def attempt() -> Answer:
        return strange("LoginUser", username=name, password="a wrong guess", headers=headers())

    assert until_limited(attempt) >= 2
    assert strange("ResendVerification", email=email, headers=headers()).code == OK


@pytest.mark.parametrize(
    "path",
    [
        ("10.7.7.{n}", "{me}"),
        ("127.0.0.1", "10.7.7.{n}", "{me}"),
        ("{n}", "{me}:4{n}"),
        ("2001:db8::{n}", "::ffff:{me}"),
        ("10.7.7.{n}", "{me}", "127.0.0.1"),
    ],
)
def test_behind_a_proxy_only_what_the_proxy_wrote_counts(asked, ask, path):
    numbers, me, name = count(1), address(), f"hidden_{next(_numbers)}"
    spent(asked, LOGINS_OF_ACCOUNT_HERE, f"{name} {me}", left=2)

    def attempt() -> Answer:
        number = next(numbers) % 250
        return guess(ask, name, *(entry.format(n=number, me=me) for entry in path))

    assert until_limited(attempt) >= 2
    assert guess(ask, name, me, address()).code == "unauthenticated"  # it is nobody else's limit


def test_an_ipv6_network_is_one_client(asked, ask):
    numbers, name = count(1), f"six_{next(_numbers)}"
    spent(asked, LOGINS_OF_ACCOUNT_HERE, f"{name} 2001:db8:{next(_numbers):x}::/64", left=0)
    assert (
        until_limited(lambda: guess(ask, name, f"2001:db8::{next(numbers):x}:1"))
        >= LOGINS_OF_ACCOUNT_HERE.tries
    )
    assert guess(ask, name, f"2001:db8:0:{next(numbers):x}::1").code == "unauthenticated"


def test_who_comes_from_where_is_recorded_as_the_proxy_wrote_it(asked, ask):
    owner, home = asked.user(), address()
    login = ask("LoginUser", username=owner, password=PASSWORD, headers=seen_by_proxy("10.7.7.7", home))
    (session,) = asked.http("ListSessions", login.body["access_token"]).body["items"]
    assert session["client_address"] == home


def test_registrations_from_one_address_are_limited(asked, ask):
    crowd, numbers = address(), count(1)
    spent(asked, REGISTRATIONS, crowd, left=2)

    def register(where: str = crowd) -> Answer:
        name = f"crowd_{next(_numbers)}_{next(numbers)}"
        fields = {"username": name, "password": PASSWORD, "full_name": "C", "email": f"{name}@example.com"}
        return ask("CreateUser", **fields, headers=seen_by_proxy(where))

    assert until_limited(register, OK) >= 2
    assert register(address()).code == OK


@pytest.mark.parametrize("name", LINKS_TO)
@pytest.mark.parametrize("known", [True, False])
def test_mails_to_one_recipient_are_limited_whether_known_or_not(asked, ask, name, known):
    victim = asked.user(verified=False) if known else f"unknown_{next(_numbers)}"
    already = 1 if known else 0  # the first mail was the registration's
    spelt = (f"{victim}@example.com", f"{victim.upper()}@EXAMPLE.com")
    numbers = count()
    done = until_limited(
        lambda: ask(name, email=spelt[next(numbers) % 2], headers=seen_by_proxy(address())), OK
    )
    assert done >= LINKS_TO[name].tries - already


@pytest.mark.parametrize("name", LINKS_TO)
def test_mails_that_one_address_asks_for_are_limited(asked, ask, name):
    asker, numbers = address(), count()
    spent(asked, MAILS, asker, left=5)

    def attempt() -> Answer:
        email = f"{name}{next(numbers)}_{asker}@example.com"
        return ask(name, email=email, headers=seen_by_proxy(asker))

    assert until_limited(attempt, OK) >= 5


def test_changes_of_address_are_mails_too(asked, ask):
    name, home = asked.user(verified=False), address()
    token = asked.token(name)
    spent(asked, MAILS, home, left=2)
    numbers = count()

    def attempt() -> Answer:
        email = f"{name}_{next(numbers)}@example.com"
        return ask("UpdateUser", token, username=name, email=email, headers=seen_by_proxy(home))

    assert until_limited(attempt, OK) >= 2


def test_changes_of_password_are_limited_for_each_brings_a_mail(asked, ask):
    name = asked.user(verified=False)
    spent(asked, PASSWORDS, name, left=2)

    def attempt() -> Answer:
        return ask("UpdateUser", asked.token(name), username=name, password=PASSWORD)

    assert until_limited(attempt, OK) >= 2


def test_codes_are_not_guessed_for_long(asked, ask):
    attacker = address()
    spent(asked, RESETS, attacker, left=2)
    guessed = {"reset_id": "00000000-0000-4000-8000-000000000000", "secret_code": "x" * 43}

    def attempt() -> Answer:
        return ask("ConfirmPasswordReset", **guessed, password=OTHER_PASSWORD, headers=seen_by_proxy(attacker))

    assert until_limited(attempt, "not_found") >= 2


def test_processes_count_together_and_each_for_itself_while_redis_is_away(
    database_url, servers_folder, tmp_path
):
    shared, numbers = LocalRedis(servers_folder / "limits_redis"), count(1)
    shared.start()

    def guesses(*ways: Ask) -> int:
        """How many guesses about somebody new are heard, from one address and by each of these ways in turn."""
        name, where, turns = f"together_{next(numbers)}", address(), cycle(ways)
        return until_limited(lambda: guess(next(turns), name, where))

    with (
        limiting(tmp_path / "first", database_url, shared.url) as first,
        limiting(tmp_path / "second", database_url, shared.url) as second,
    ):
        everywhere = (first.http, second.grpc, first.grpc, second.http)
        # A Redis that is slow for a moment may spoil one of them.
        assert min(guesses(*everywhere) for _ in range(3)) == LOGINS_OF_ACCOUNT_HERE.tries
        shared.kill()
        assert guesses(first.http, first.grpc) == LOGINS_OF_ACCOUNT_HERE.tries
        assert guesses(*everywhere) == 2 * LOGINS_OF_ACCOUNT_HERE.tries
