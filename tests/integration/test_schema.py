"""Every rule that the database itself keeps."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import errors

from migrations import run as migrations
from tests.support.ledger_rows import POST, fill, second


@pytest.fixture
def accounts(database) -> dict[str, int]:
    return fill(database)


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
        ({"b": 999_999, "b_seq": 1, "b_after": 10}, "transfers_moved_accounts"),
        ({"currency": "EUR"}, "transfers_moved_accounts"),
    ],
)
def test_a_transfer_that_breaks_a_rule_is_refused(database, accounts, changes, rule):
    with pytest.raises(psycopg.IntegrityError) as caught:
        database.execute(POST, second(accounts, **changes))
    assert rule in (caught.value.diag.constraint_name or "")
    assert database.execute("select count(*) from entries").fetchone() == (2,)


@pytest.mark.parametrize("moved", ["a", "b", "nobody"])
def test_a_transfer_that_leaves_an_account_where_it_was_is_refused(database, accounts, moved):
    values = second(accounts)
    moving_one = f"{POST} and id = {values.get(moved, 0)}"
    with pytest.raises(psycopg.IntegrityError) as caught:
        database.execute(moving_one, values)
    assert caught.value.diag.constraint_name == "transfers_moved_accounts"


def test_a_transfer_to_an_account_of_another_currency_is_refused(database, accounts):
    row = database.execute(
        "insert into accounts (owner, currency) values ('alice', 'EUR') returning id"
    ).fetchone()
    with pytest.raises(psycopg.IntegrityError) as caught:
        database.execute(POST, second(accounts, b=row[0], b_seq=1, b_after=10))
    assert caught.value.diag.constraint_name == "transfers_moved_accounts"


def test_an_account_goes_back_to_no_older_entry(database, accounts):
    database.execute(POST, second(accounts))
    with pytest.raises(psycopg.IntegrityError) as caught:
        database.execute("update accounts set seq = 1, balance = -30 where id = %(a)s", accounts)
    assert caught.value.diag.constraint_name == "accounts_forward"
    with pytest.raises(psycopg.IntegrityError) as caught:
        database.execute("update accounts set seq = 0, balance = 0 where id = %(a)s", accounts)
    assert caught.value.diag.constraint_name == "accounts_forward"


def test_one_bad_transfer_is_found_among_good_ones(database, accounts):
    """A guard looks at all rows of a statement, not at the first."""
    a, b = accounts["a"], accounts["b"]
    with pytest.raises(psycopg.IntegrityError) as caught:
        database.execute(
            """
            with t as (
                insert into transfers values (2, %(a)s, 2, %(b)s, 2, 1, 'USD', 'alice', now(), 'posted'),
                                             (3, %(a)s, 3, %(b)s, 3, 1, 'EUR', 'alice', now(), 'posted')
            ), e as (
                insert into entries values (%(a)s, 2, 2, -1, -31, now()), (%(b)s, 2, 2, 1, 31, now()),
                                           (%(a)s, 3, 3, -1, -32, now()), (%(b)s, 3, 3, 1, 32, now())
            )
            update accounts set seq = 3, balance = case id when %(a)s then -32 else 32 end
            where id in (%(a)s, %(b)s)
            """,
            {"a": a, "b": b},
        )
    assert caught.value.diag.constraint_name == "transfers_moved_accounts"


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
        ("truncate transfers", "transfers_immutable"),
        ("truncate accounts cascade", "accounts_undeletable"),
        ("truncate users cascade", "accounts_undeletable"),
        ("update transfers set amount = 1", "transfers_immutable"),
        ("delete from transfers", "transfers_immutable"),
        ("delete from accounts where id = %(a)s", "accounts_undeletable"),
        ("update accounts set currency = 'EUR' where id = %(a)s", "accounts_identity"),
        ("update accounts set owner = null where id = %(a)s", "accounts_identity"),
        ("update accounts set kind = 'settlement' where id = %(a)s", "accounts_identity"),
        ("update accounts set id = default where id = %(a)s", "accounts_identity"),
        ("update accounts set created_at = now() where id = %(a)s", "accounts_identity"),
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
