"""`transactions audit` sees each rule broken and names the account; a busy ledger does not mislead it."""

from __future__ import annotations

import json
import os
import subprocess

import psycopg
import pytest
import trio

from cli.audit import audited
from tests.support.ledger_rows import POST, fill, second
from tests.support.service import COMMAND, ROOT, ServiceProcess, free_port

ENTRIES = "every transfer has its two entries, -amount and +amount"
SIDES = "every entry is a side of its transfer"
CURRENCY = "both sides of a transfer are in its currency"
HISTORY = "entries are numbered 1, 2, 3... and each continues the one before"
BALANCE = "a balance is the sum of its account's entries"
ZERO = "a currency's balances sum to zero"
OVERDRAFT = "no customer is below the overdraft limit"
KEY_ONCE = "a key moved money at most once"
KEY_KEPT = "what a key answers is there"
KEY = """
insert into idempotency_records (username, key, fingerprint, {}, created_at) values ('alice', '{}', '', {}, now())
"""


@pytest.fixture
def accounts(database) -> dict[str, int]:
    """Two accounts with two transfers between them, and a key of the second; the triggers are off from here on."""
    filled = fill(database)
    database.execute(POST, second(filled))
    database.execute(KEY.format("transfer_id", "k", 2))
    database.execute("set session_replication_role = replica")
    return filled


def broken_rules(database_url: str) -> dict[str, int | None]:
    return {
        finding.rule: finding.account_id
        for finding in trio.run(audited, database_url).findings
        if finding.broken_by is not None
    }


def test_a_whole_ledger_is_clean(database_url, accounts):
    result = trio.run(audited, database_url)
    assert (result.clean, result.first_broken) == (True, None)
    assert (result.accounts, result.transfers, result.entries) == (3, 2, 4)


@pytest.mark.parametrize(
    ("statement", "rules"),
    [
        ("delete from entries where account_id = %(b)s and seq = 2", {ENTRIES: "b", BALANCE: "b"}),
        (
            "delete from entries where account_id = %(b)s and seq = 1",
            {ENTRIES: "b", HISTORY: "b", BALANCE: "b"},
        ),
        ("update entries set transfer_id = 1 where account_id = %(b)s", {ENTRIES: "b", SIDES: "b"}),
        ("update entries set created_at = now() where account_id = %(b)s and seq = 2", {ENTRIES: "b"}),
        (
            "update entries set seq = 3 where account_id = %(b)s and seq = 2",
            {ENTRIES: "b", SIDES: "b", HISTORY: "b", BALANCE: "b"},
        ),
        ("update transfers set amount = 11 where id = 2", {ENTRIES: "a"}),
        ("update transfers set from_account_id = 999 where id = 2", {ENTRIES: 999, SIDES: "a", CURRENCY: 999}),
        ("delete from transfers where id = 2", {SIDES: "a", KEY_KEPT: None}),
        (
            "insert into transfers values (9, %(a)s, 3, %(b)s, 3, 5, 'USD', 'alice', now(), 'posted')",
            {ENTRIES: "a"},
        ),
        ("insert into entries values (%(b)s, 3, 2, 5, 45, now())", {SIDES: "b", BALANCE: "b"}),
        ("update transfers set currency = 'EUR' where id = 2", {CURRENCY: "a"}),
        ("update accounts set currency = 'EUR' where id = %(b)s", {CURRENCY: "b", ZERO: None}),
        ("delete from accounts where id = %(b)s", {CURRENCY: "b", BALANCE: "b", ZERO: None}),
        ("update entries set balance_after = 41 where account_id = %(b)s and seq = 2", {HISTORY: "b"}),
        (
            "update entries set created_at = '2020-01-01' where account_id = %(b)s and seq = 2",
            {ENTRIES: "b", HISTORY: "b"},
        ),
        ("update accounts set balance = balance + 5 where id = %(b)s", {BALANCE: "b", ZERO: None}),
        ("update accounts set balance = 30, seq = 1 where id = %(b)s", {BALANCE: "b", ZERO: None}),
        ("update accounts set seq = 3 where id = %(b)s", {BALANCE: "b"}),
        (KEY.format("transfer_id", "k2", 2), {KEY_ONCE: "a"}),
        (KEY.format("transfer_id", "k2", 77), {KEY_KEPT: None}),
        (KEY.format("account_id", "k2", 77), {KEY_KEPT: 77}),
    ],
)
def test_each_broken_rule_is_seen_and_its_account_named(database, database_url, accounts, statement, rules):
    database.execute(statement, accounts)
    assert broken_rules(database_url) == {rule: accounts.get(name, name) for rule, name in rules.items()}


def test_a_customer_below_the_limit_is_seen_even_where_the_constraint_is_gone(database, database_url, accounts):
    database.execute("alter table accounts drop constraint accounts_balance_check")
    database.execute("update accounts set overdraft_limit = 39 where id = %(a)s", accounts)
    assert broken_rules(database_url) == {OVERDRAFT: accounts["a"]}


def run(database_url: str, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATABASE_URL": database_url}
    command = [*COMMAND, "audit", *options]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_first_account_of_all_is_named_whatever_the_rule(database, database_url, accounts):
    database.execute("delete from transfers where id = 2")
    database.execute("update entries set balance_after = 31 where account_id = %(b)s and seq = 1", accounts)
    done = run(database_url, "--json")
    assert done.returncode == 1
    assert done.stderr == f"error: account {accounts['a']}: entry 2 is no side of its transfer\n"
    result = json.loads(done.stdout)
    assert result["clean"] is False
    named = {each["rule"]: each["account_id"] for each in result["findings"] if each["broken_by"]}
    assert named == {SIDES: accounts["a"], HISTORY: accounts["b"], KEY_KEPT: None}


def test_a_person_sees_every_rule_in_a_table(database_url, accounts):
    done = run(database_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 accounts, 2 transfers, 4 entries" in done.stdout
    assert done.stdout.count("holds") == 9


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_database_that_is_away_is_one_line_and_status_1(options):
    done = run(f"postgresql://postgres@127.0.0.1:{free_port()}/nowhere", *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_database_without_the_schema_is_one_line_and_status_1(empty_database_url):
    done = run(empty_database_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_busy_ledger_gives_no_false_alarm(service: ServiceProcess, tmp_path):
    plan = str(tmp_path / "plan.json")
    assert service.run("hammer", "--accounts", "20", "--save-plan", plan).returncode == 0
    command = [*COMMAND, "hammer", "--plan", plan, "--seconds", "3", "--idempotency", "--no-audit", "--json"]
    load = subprocess.Popen(command, cwd=ROOT, env=service.environment, stdout=subprocess.PIPE, text=True)
    seen = []
    while load.poll() is None:
        result = trio.run(audited, service.database_url)
        assert result.clean, result.first_broken
        assert result.entries == 2 * result.transfers
        seen.append(result.transfers)
    assert json.loads(load.communicate()[0])["lost"] == 0
    assert len(set(seen)) > 3  # the ledger moved between the audits


def test_an_audit_waits_for_nobody(database_url, accounts):
    """Somebody who has changed every row and has not committed does not hold it up."""
    with psycopg.connect(database_url) as other:
        other.execute("update accounts set name = 'busy'")
        other.execute("lock table accounts, transfers, entries in share row exclusive mode")
        done = run(database_url, "--json")
        other.rollback()
    assert done.returncode == 0, done.stderr
