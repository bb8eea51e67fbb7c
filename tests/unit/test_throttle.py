"""What counts against whom, and what does not."""

from __future__ import annotations

import pytest
import trio

from application import throttle
from application.throttle import LOGINS, LOGINS_OF_ACCOUNT, LOGINS_OF_ACCOUNT_HERE, Throttle, network
from domain.errors import RateLimited
from persistence.rate_limits import Limit, RateLimits
from persistence.redis import RedisUnavailable

HERE, ELSEWHERE = "192.0.2.1", "198.51.100.7"


class NoRedis:
    async def run(self, work, *, timeout_s):
        raise RedisUnavailable("away")


@pytest.fixture
def limits() -> RateLimits:
    """Counting in memory, on Trio's clock, which is a mock where a test says so."""
    return RateLimits(NoRedis())


async def tries_until_refused(attempt, limit: Limit) -> tuple[int, RateLimited]:
    for done in range(limit.tries + 1):
        try:
            await attempt()
        except RateLimited as refused:
            return done, refused
    raise AssertionError(f"more than {limit.tries} tries")


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff:ffff:ffff:ffff", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("garbage", "garbage"),
    ],
)
def test_a_client_is_an_address_or_an_ipv6_network(address, counted):
    assert network(address) == counted


ATTEMPTS = {
    "registration": (throttle.REGISTRATIONS, lambda t, n: t.registration(HERE)),
    "mail from an address": (throttle.MAILS, lambda t, n: t.mail(HERE)),
    "links to prove an address": (
        throttle.VERIFICATIONS_TO,
        lambda t, n: t.verification_to(("Victim@b.cd", "victim@B.cd")[n % 2]),
    ),
    "links to choose a password": (
        throttle.RESETS_TO,
        lambda t, n: t.reset_to(("Victim@b.cd", "victim@B.cd")[n % 2]),
    ),
    "reset": (throttle.RESETS, lambda t, n: t.reset(HERE)),
    "password": (throttle.PASSWORDS, lambda t, n: t.password("alice")),
    "many accounts": (LOGINS, lambda t, n: t.login(HERE, f"user{n}")),
    "one account from here": (LOGINS_OF_ACCOUNT_HERE, lambda t, n: t.login(HERE, "alice")),
    "one account from one network": (LOGINS_OF_ACCOUNT_HERE, lambda t, n: t.login(f"2001:db8::{n}", "alice")),
    "one account from everywhere": (LOGINS_OF_ACCOUNT, lambda t, n: t.login_from_afar("alice")),
}


@pytest.mark.parametrize("what", ATTEMPTS)
async def test_a_limit_is_as_high_as_it_says_and_ends_when_it_says(autojump_clock, limits, what):
    limit, attempt = ATTEMPTS[what]
    subject, numbers = Throttle(limits), iter(range(10_000))

    async def once() -> None:
        await attempt(subject, next(numbers))

    done, refused = await tries_until_refused(once, limit)
    assert done == limit.tries
    assert 0 < refused.retry_after_s <= limit.period_s
    await trio.sleep(refused.retry_after_s)
    await once()


async def test_what_is_forgiven_does_not_count(limits):
    subject = Throttle(limits)
    for _ in range(3 * LOGINS.tries):
        tries = await subject.login(HERE, "alice") + await subject.login_from_afar("alice")
        await subject.forgive(tries)
    done, _ = await tries_until_refused(lambda: subject.login(HERE, "alice"), LOGINS_OF_ACCOUNT_HERE)
    assert done == LOGINS_OF_ACCOUNT_HERE.tries


async def test_a_pardon_is_for_one_user_at_one_address(limits):
    subject = Throttle(limits)
    for address, name in ((HERE, "alice"), (HERE, "bob"), (ELSEWHERE, "alice")):
        await tries_until_refused(lambda a=address, n=name: subject.login(a, n), LOGINS_OF_ACCOUNT_HERE)
    await subject.pardon(HERE, "alice")
    assert await subject.login(HERE, "alice")
    for address, name in ((HERE, "bob"), (ELSEWHERE, "alice")):
        with pytest.raises(RateLimited):
            await subject.login(address, name)


async def test_names_do_not_run_into_addresses(limits):
    subject = Throttle(limits)
    await tries_until_refused(lambda: subject.login(HERE, "alice"), LOGINS_OF_ACCOUNT_HERE)
    assert await subject.login(HERE, "alic")
    assert await subject.login("92.0.2.1", "alice")


async def test_without_limits_nothing_is_refused():
    subject = Throttle(None)
    for _ in range(2 * LOGINS.tries):
        assert await subject.login(HERE, "alice") == []
        await subject.reset(HERE)
    await subject.forgive([])
    await subject.pardon(HERE, "alice")
