"""Migrations on a database with rows, and every rule that the database itself keeps."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest
import trio
from psycopg import errors

from cli.audit import audited
from migrations import run as migrations

NOW = datetime(2026, 1, 1, tzinfo=UTC)

# One statement, as the service writes: a transfer, its entries, and the balances they leave.
POST = """
with t as (
    insert into transfers (id, from_account_id, from_seq, to_account_id, to_seq, amount, currency, created_by,
                           created_at)
    values (%(id)s, %(a)s, %(a_seq)s, %(b)s, %(b_seq)s, %(amount)s, 'USD', 'alice', %(at)s)
), e as (
    insert into entries (account_id, seq, transfer_id, amount, balance_after, created_at)
    values (%(a)s, %(a_seq)s, %(id)s, -%(amount)s, %(a_after)s, %(at)s),
           (%(b)s, %(b_seq)s, %(id)s, %(amount)s, %(b_after)s, %(at)s)
)
update accounts set balance = case id when %(a)s then %(a_after)s else %(b_after)s end,
                    seq = case id when %(a)s then %(a_seq)s else %(b_seq)s end
where id in (%(a)s, %(b)s)
"""


def fill(connection: psycopg.Connection) -> dict[str, int]:
    """A user, two accounts with an overdraft, a settlement account, one transfer of 30."""
    connection.execute(
        "insert into users (username, full_name, email, password_hash) values ('alice', 'A', 'a@b.cd', 'x')"
    )
    ids = [
        connection.execute(
            "insert into accounts (owner, currency, overdraft_limit) values ('alice', 'USD', 100) returning id"
        ).fetchone()[0]
        for _ in range(2)
    ]
    connection.execute("insert into accounts (currency, kind) values ('USD', 'settlement')")
    values = {"id": 1, "a": ids[0], "b": ids[1], "a_seq": 1, "b_seq": 1, "amount": 30}
    values |= {"a_after": -30, "b_after": 30, "at": NOW}
    connection.execute(POST, values)
    return {"a": ids[0], "b": ids[1]}


@pytest.fixture
def accounts(database) -> dict[str, int]:
    return fill(database)


def second(accounts: dict[str, int], **changes) -> dict[str, object]:
    """The parameters of a second, correct transfer of 10, changed."""
    values = {"id": 2, "a_seq": 2, "b_seq": 2, "amount": 10, "a_after": -40, "b_after": 40, "at": NOW}
    return {**accounts, **values, **changes}


def test_every_version_goes_up_down_and_up_on_a_database_with_rows(empty_database_url):
    migrations.up(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        fill(connection)
    current, newest = migrations.status(empty_database_url)
    assert current == newest
    for _ in range(int(newest)):
        migrations.down(empty_database_url)
    assert migrations.status(empty_database_url)[0] is None
    migrations.up(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        fill(connection)


def test_each_version_can_be_taken_back_while_earlier_tables_have_rows(empty_database_url):
    migrations.up(empty_database_url, "0006")
    with psycopg.connect(empty_database_url) as connection:
        fill(connection)
    migrations.up(empty_database_url)
    migrations.down(empty_database_url, "0006")
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("select count(*) from entries").fetchone() == (2,)


def test_the_migrated_database_is_what_the_tables_say(database_url):
    assert migrations.differences(database_url) == []


def test_a_correct_transfer_is_accepted(database, accounts):
    database.execute(POST, second(accounts))
    assert database.execute("select sum(balance), max(seq) from accounts").fetchone() == (0, 2)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"amount": 0, "a_after": -30, "b_after": 30}, "amount"),
        ({"amount": -10, "a_after": -20, "b_after": 20}, "transfers_amount_check"),
        ({"a_seq": 1}, "entries_pkey"),
        ({"a_seq": 3}, "entries_history"),
        ({"a_after": -41}, "entries_history"),
        ({"b_after": 41}, "entries_history"),
        ({"at": datetime(2025, 12, 31, tzinfo=UTC)}, "entries_history"),
        ({"amount": 71, "a_after": -101, "b_after": 101}, "accounts_balance_check"),
        ({"id": 1}, "transfers_pkey"),
    ],
)
def test_a_transfer_that_breaks_a_rule_is_refused(database, accounts, changes, rule):
    with pytest.raises(psycopg.IntegrityError) as caught:
        database.execute(POST, second(accounts, **changes))
    assert rule in (caught.value.diag.constraint_name or "")
    assert database.execute("select count(*) from entries").fetchone() == (2,)


def test_a_transfer_to_itself_is_refused(database, accounts):
    with pytest.raises(errors.CheckViolation, match="transfers_sides_check"):
        database.execute(
            "insert into transfers values (9, %(a)s, 2, %(a)s, 3, 5, 'USD', 'alice', now(), 'posted')", accounts
        )


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        (
            "insert into transfers values (9, %(a)s, 2, %(b)s, 2, 5, 'USD', 'alice', now(), 'posted')",
            "transfers_both_entries",
        ),
        ("insert into entries values (%(a)s, 2, 1, -30, -60, now())", "entries_history"),
        ("insert into entries values (%(a)s, 2, 77, -30, -60, now())", "entries_history"),
        ("update accounts set balance = balance + 1 where id = %(a)s", "accounts_balance_updated"),
        ("update accounts set seq = 7 where id = %(a)s", "accounts_balance_updated"),
        (
            "insert into accounts (owner, currency, balance) values ('alice', 'USD', 5)",
            "accounts_balance_inserted",
        ),
        ("update entries set amount = amount - 1", "entries_immutable"),
        ("delete from entries", "entries_immutable"),
        ("truncate entries", "entries_immutable"),
        ("update transfers set amount = 1", "transfers_immutable"),
        ("delete from transfers", "transfers_immutable"),
        ("delete from accounts where id = %(a)s", "accounts_undeletable"),
        ("update accounts set currency = 'EUR' where id = %(a)s", "accounts_identity"),
        ("update accounts set owner = null where id = %(a)s", "accounts_identity"),
        ("insert into accounts (currency, kind) values ('USD', 'settlement')", "accounts_settlement_key"),
        ("insert into accounts (currency, kind) values ('USD', 'customer')", "accounts_kind_check"),
        ("insert into accounts (owner, currency) values ('nobody', 'USD')", "accounts_owner_fkey"),
        ("insert into accounts (owner, currency) values ('alice', 'usd')", "accounts_currency_check"),
        ("update accounts set overdraft_limit = 0 where id = %(a)s", "accounts_balance_check"),
        ("update accounts set status = 'gone' where id = %(a)s", "accounts_status_check"),
        ("update users set roles = '{king}'", "users_roles_check"),
        ("insert into users values ('bob', 'B', 'A@B.CD', false, 'x')", "users_email_key"),
        ("insert into users values ('Bob', 'B', 'b@b.cd', false, 'x')", "users_username_check"),
        (
            "insert into idempotency_records (username, key, fingerprint, created_at) values ('a', 'k', '', now())",
            "idempotency_records_outcome_check",
        ),
        ("insert into outbox (kind) values ('verify_email')", "outbox_sealed_check"),
    ],
)
def test_the_database_refuses(database, accounts, statement, rule):
    with pytest.raises(psycopg.IntegrityError) as caught:
        database.execute(statement, accounts)
    assert caught.value.diag.constraint_name == rule


def test_the_audit_names_the_first_account_that_breaks_a_rule(database, accounts, database_url):

    assert trio.run(audited, database_url).clean
    database.execute("set session_replication_role = replica")
    database.execute("update accounts set balance = balance + 5 where id = %(b)s", accounts)
    database.execute("update entries set balance_after = -31 where account_id = %(a)s", accounts)
    result = trio.run(audited, database_url)
    broken = {finding.rule: finding.broken_by for finding in result.findings if finding.broken_by}
    assert broken == {
        "entries are numbered 1, 2, 3... and each continues the one before": (
            f"account {accounts['a']}: entry 1 does not continue entry 0"
        ),
        "a balance is the sum of its account's entries": (
            f"account {accounts['b']}: balance 35, its entries sum to 30"
        ),
        "a currency's balances sum to zero": "USD: balances sum to 5",
    }
