"""The sweeper on a real PostgreSQL: what is old goes, what is not stays."""

from __future__ import annotations

from datetime import timedelta

import pytest

from actors.sweeper import Ages, Sweeper
from persistence.pool import open_pool

AGES = Ages(keys=timedelta(hours=24), expired=timedelta(days=30))
OLD_AND_NEW = {
    "idempotency_records": """
        insert into idempotency_records (username, key, fingerprint, refusal, created_at)
        values ('alice', 'old', 'x', 'not_found', now() - interval '25 hours'),
               ('alice', 'new', 'x', 'not_found', now() - interval '23 hours')
    """,
    "sessions": """
        insert into sessions (id, username, refresh_token_hash, user_agent, client_address, created_at, expires_at)
        values (gen_random_uuid(), 'alice', 'a', '', '', now() - interval '32 days', now() - interval '31 days'),
               (gen_random_uuid(), 'alice', 'b', '', '', now() - interval '32 days', now() - interval '29 days')
    """,
    "email_verifications": """
        insert into email_verifications (id, username, email, secret_hash, created_at, expires_at)
        values (gen_random_uuid(), 'alice', 'a@b.cd', 'a', now() - interval '32 days', now() - interval '31 days'),
               (gen_random_uuid(), 'alice', 'a@b.cd', 'b', now(), now() + interval '15 minutes')
    """,
    "password_resets": """
        insert into password_resets (id, username, email, secret_hash, created_at, expires_at)
        values (gen_random_uuid(), 'alice', 'a@b.cd', 'a', now() - interval '32 days', now() - interval '31 days'),
               (gen_random_uuid(), 'alice', 'a@b.cd', 'b', now(), now() + interval '15 minutes')
    """,
}


@pytest.mark.parametrize("table", OLD_AND_NEW)
async def test_what_was_kept_for_long_enough_is_forgotten(database, database_url, table):
    database.execute(
        "insert into users (username, full_name, email, password_hash) values ('alice', 'A', 'a@b.cd', 'x')"
    )
    database.execute(OLD_AND_NEW[table])
    async with open_pool(database_url) as pool:
        sweeper = Sweeper(pool, AGES, every_s=60)
        for _ in range(2):
            await sweeper.sweep()
            assert database.execute(f"select count(*) from {table}").fetchone() == (1,)
