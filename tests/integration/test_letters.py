"""Links in letters on a real PostgreSQL: whose clock they go by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from application.letters import VERIFICATION_LASTS, Letters
from application.mail import Seal, Sender
from domain.users import User
from persistence import mailed_secrets
from persistence.pool import open_pool

NOW = datetime.now(UTC)
USER = User("alice", "Alice", "alice@example.com", False, [], NOW, NOW)
SEAL = Seal([bytes(32)])
SENDER = Sender("Bank", "bank@example.com", "http://127.0.0.1")


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(hours=1), timedelta(hours=-1)])
async def test_a_link_lasts_by_the_clock_that_will_end_it(database, database_url, ahead):
    database.execute(
        "insert into users (username, full_name, email, password_hash) values ('alice', 'A', 'alice@example.com', 'x')"
    )
    letters = Letters(seal=SEAL, sender=SENDER, posted=lambda: None, now=lambda: datetime.now(UTC) + ahead)
    async with open_pool(database_url) as pool:
        async with pool.transaction() as connection:
            await letters.ask_to_verify(connection, USER)
        ((id_, secret_hash, lasts),) = database.execute(
            "select id, secret_hash, expires_at - created_at from email_verifications"
            " where created_at between clock_timestamp() - interval '1 minute' and clock_timestamp()"
        ).fetchall()
        assert lasts == VERIFICATION_LASTS
        async with pool.connection() as connection:
            assert await mailed_secrets.use_verification(connection, id_, secret_hash) == "alice"
