"""Where an owner is known to have been: what tells of it, and which addresses are one place."""

from __future__ import annotations

import pytest

from domain.users import Client, SecurityEventKind
from persistence import security_events
from persistence.pool import open_pool

HOME = "192.0.2.1"
PROOFS = [
    (SecurityEventKind.LOGIN, "alice"),
    (SecurityEventKind.EMAIL_VERIFIED, None),
    (SecurityEventKind.PASSWORD_CHANGED, None),
    (SecurityEventKind.PASSWORD_CHANGED, "alice"),
]
NO_PROOFS = [
    (SecurityEventKind.LOGIN_FAILED, None),
    (SecurityEventKind.PASSWORD_RESET_REQUESTED, None),
    (SecurityEventKind.VERIFICATION_REQUESTED, None),
    (SecurityEventKind.PASSWORD_CHANGED, "a_banker"),
    (SecurityEventKind.EMAIL_CHANGED, "a_banker"),
    (SecurityEventKind.ROLES_CHANGED, "an_admin"),
]


async def known(database, database_url: str, kind, actor, been: str, now: str) -> bool:
    database.execute(
        "insert into users (username, full_name, email, password_hash) values ('alice', 'A', 'a@b.cd', 'x')"
    )
    async with open_pool(database_url) as pool, pool.connection() as connection:
        await security_events.append(connection, kind, "alice", Client(been, ""), actor=actor)
        assert not await security_events.has_come_from(connection, "bob", now)
        return await security_events.has_come_from(connection, "alice", now)


@pytest.mark.parametrize(
    ("kind", "actor", "proof"),
    [*((*each, True) for each in PROOFS), *((*each, False) for each in NO_PROOFS)],
)
async def test_an_owner_is_known_where_he_has_proved_himself(database, database_url, kind, actor, proof):
    assert await known(database, database_url, kind, actor, HOME, HOME) is proof


@pytest.mark.parametrize(
    ("been", "now", "same"),
    [
        (HOME, "192.0.2.2", False),
        (HOME, f"{HOME}0", False),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", True),
        ("fe80::1%eth0", "fe80::1%eth0", True),
        ("", "", True),
        ("::", "192.0.2.1", False),
    ],
)
async def test_an_ipv6_network_is_one_place(database, database_url, been, now, same):
    assert await known(database, database_url, SecurityEventKind.LOGIN, "alice", been, now) is same
