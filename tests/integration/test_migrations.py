"""The schema's versions: up and down with rows in every table, and among others who use the tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.rows import dict_row

from migrations import newest_version
from migrations import run as migrations
from persistence.faults import DatabaseFault
from persistence.tables import metadata
from tests.support.ledger_rows import fill

TABLES = sorted(metadata.tables)
Rows = dict[str, dict[str, dict[str, object]]]
"""Of each table, by what identifies them: their columns."""

IDENTITY = {
    "users": ("username",),
    "entries": ("account_id", "seq"),
    "idempotency_records": ("username", "key"),
}
MORE_ROWS = """
update users set roles = '{depositor,auditor}' where username = 'alice';
insert into sessions (id, username, refresh_token_hash, user_agent, client_address, created_at, expires_at)
    values (gen_random_uuid(), 'alice', 'h', 'curl', '::1', now() - interval '1 day', now() + interval '1 day');
insert into email_verifications (id, username, email, secret_hash, expires_at)
    values (gen_random_uuid(), 'alice', 'a@b.cd', 's', now() + interval '1 day');
insert into password_resets (id, username, email, secret_hash, expires_at)
    values (gen_random_uuid(), 'alice', 'a@b.cd', 's', now() + interval '1 day');
insert into security_events (kind, username, client_address) values ('login', 'alice', '2001:db8::1');
insert into idempotency_records (username, key, fingerprint, transfer_id, created_at)
    values ('alice', 'rent', 'f', 1, now());
insert into outbox (kind, sealed) values ('waits', 'mail');
insert into outbox (kind, sealed, relayed_at) values ('in the queue', 'mail', now());
insert into outbox (kind, relayed_at, sent_at) values ('sent', now(), now());
"""


@pytest.fixture
def filled(empty_database_url: str) -> Iterator[psycopg.Connection]:
    """A database with the newest schema, and a row in every table."""
    migrations.up(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        fill(connection)
        connection.execute(MORE_ROWS)
        yield connection


def rows(connection: psycopg.Connection) -> Rows:
    found: Rows = {}
    cursor = connection.cursor(row_factory=dict_row)
    for table in TABLES:
        if cursor.execute("select to_regclass(%s) as it", [table]).fetchone()["it"] is not None:
            by = IDENTITY.get(table, ("id",))
            listed = cursor.execute(f"select * from {table}", prepare=False).fetchall()
            found[table] = {str([row[name] for name in by]): row for row in listed}
    return found


def lost(before: Rows, after: Rows) -> set[tuple[str, str]]:
    """The tables and columns that are in both, and in which something of what was there is not as it was."""
    return {
        (table, column)
        for table in before.keys() & after.keys()
        for key, row in before[table].items()
        for column in row.keys() & after[table].get(key, {}).keys()
        if row[column] != after[table][key][column]
    } | {
        (table, "its rows")
        for table in before.keys() & after.keys()
        if before[table].keys() != after[table].keys()
    }


# What a version takes with it that the columns of the one before could have held.
TAKEN = {
    "0012": {("users", "roles")},  # the one before knows no auditors
    "0016": {("outbox", "sealed")},  # the one before keeps no mail that it has handed to the queue
}


def test_every_version_is_taken_back_and_applied_again_and_rows_stay(empty_database_url, filled):
    """One by one from the newest: what the version before has columns for is there, before and after."""
    assert all(rows(filled)[table] for table in TABLES)
    for number in range(int(newest_version()), 0, -1):
        before = rows(filled)
        migrations.down(empty_database_url)
        assert migrations.status(empty_database_url)[0] == (f"{number - 1:04}" if number > 1 else None)
        without = rows(filled)
        assert lost(before, without) == TAKEN.get(f"{number:04}", set())
        migrations.up(empty_database_url, f"{number:04}")
        assert lost(without, rows(filled)) == set()
        migrations.down(empty_database_url)
        assert rows(filled) == without
    migrations.up(empty_database_url)
    fill(filled)


def test_mails_survive_the_way_back(empty_database_url, filled):
    """Those that wait are sent by the release before; those in the queue are there, and marked so."""
    migrations.down(empty_database_url, "0015")
    listed = "select kind, sealed is null, relayed_at is null from outbox order by id"
    assert filled.execute(listed).fetchall() == [
        ("waits", False, True),
        ("in the queue", True, False),
        ("sent", True, False),
    ]


@contextmanager
def holding(database_url: str, table: str, seconds: float) -> Iterator[None]:
    """Somebody reads a table in a long transaction, which no change of the table can go past."""
    with psycopg.connect(database_url) as connection:
        connection.execute(f"select from {table} limit 1")
        timer = threading.Timer(seconds, connection.rollback)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def test_a_version_waits_for_its_lock_in_short_attempts_and_gets_it_in_the_end(empty_database_url):
    migrations.up(empty_database_url, "0015")
    slowest_s = 0.0
    moving = threading.Thread(target=migrations.up, args=[empty_database_url])
    with (
        psycopg.connect(empty_database_url, autocommit=True) as writer,
        holding(empty_database_url, "outbox", 2 * migrations.LOCK_TIMEOUT_S + migrations.PAUSE_S),
    ):
        moving.start()
        while moving.is_alive():
            began = time.monotonic()
            writer.execute("insert into outbox (kind, sealed) values ('verify_email', 'x')")
            slowest_s = max(slowest_s, time.monotonic() - began)
            time.sleep(0.005)
    moving.join()
    assert migrations.status(empty_database_url)[0] == newest_version()
    # Who came after the version waited for it, and for no longer than one attempt.
    assert migrations.LOCK_TIMEOUT_S / 2 < slowest_s < migrations.LOCK_TIMEOUT_S + migrations.PAUSE_S


def test_a_version_that_never_gets_its_lock_fails_in_one_line_and_changes_nothing(empty_database_url):
    migrations.up(empty_database_url, "0014")
    with (
        holding(empty_database_url, "outbox", 60),
        pytest.raises(
            DatabaseFault, match="the schema is in use: a version did not get its lock in 2 attempts"
        ),
    ):
        migrations.up(empty_database_url, attempts_max=2)
    # 0015 is a transaction of its own, and stays.
    assert migrations.status(empty_database_url)[0] == "0015"


def test_the_way_back_waits_in_short_attempts_too(empty_database_url):
    migrations.up(empty_database_url)
    with (
        holding(empty_database_url, "outbox", 60),
        pytest.raises(DatabaseFault, match="the schema is in use"),
    ):
        migrations.down(empty_database_url, attempts_max=1)
    assert migrations.status(empty_database_url)[0] == newest_version()


def test_what_is_not_a_lock_is_told_as_it_is(empty_database_url):
    with pytest.raises(DatabaseFault, match="can not be moved"):
        migrations.up(empty_database_url, "9999")
