"""What `transactions hammer` accepts, and that everything else is bad usage before anything starts."""

from __future__ import annotations

import argparse
import json
import random
import stat

import pytest

from cli.hammer import options
from cli.hammer.plan import Plan, PlanError
from cli.settings import Settings, SettingsError, load

DATABASE = "postgresql://127.0.0.1:1/nowhere"
PLAN = {"token": "t", "accounts": [3, 5, 9], "currency": "EUR", "hot": True}


@pytest.fixture
def settings(tmp_path) -> Settings:
    return load({"VAR_DIR": str(tmp_path), "HTTP_SERVER_ADDRESS": "127.0.0.1:81"})


def read(settings: Settings, *words: str) -> options.Options:
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    return options.read(parser.parse_args(words), settings)


def plan_file(folder, **members: object) -> str:
    path = folder / "plan.json"
    path.write_text(json.dumps(PLAN | members))
    return str(path)


def test_addresses_come_from_the_settings(settings):
    asked = read(settings, "--database-url", DATABASE)
    assert (asked.http, asked.grpc) == (("127.0.0.1", 81), ("127.0.0.1", 9090))
    assert asked.address == asked.http


def test_addresses_may_be_ipv6(settings):
    asked = read(
        settings, "--no-audit", "--database-url", DATABASE, "--url", "http://[::1]", "--grpc", "[::1]:7",
        "--protocol", "grpc",
    )  # fmt: skip
    assert (asked.http, asked.address) == (("::1", 80), ("::1", 7))


def test_there_are_no_more_channels_than_connections(settings):
    assert read(settings, "--database-url", DATABASE, "--channels", "9", "--connections", "4").channels == 4


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--url", "https://h:1"], "--url"),
        (["--url", "http://h:x"], "--url"),
        (["--url", "http://h:1/path"], "--url"),
        (["--grpc", "h"], "--grpc"),
        (["--grpc", "h:99999"], "--grpc"),
        (["--database-url", "mysql://h/d"], "--database-url"),
        (["--username", "u", "--password", "p"], "go together"),
        (["--plan", "no/such/file"], "--plan"),
        (["--plan", "a", "--save-plan", "b"], "--save-plan"),
    ],
)
def test_bad_usage_names_the_option(settings, words, names):
    with pytest.raises(SettingsError, match=names):
        read(settings, "--database-url", DATABASE, *words)


@pytest.mark.parametrize(
    "words",
    [
        ["--accounts", "1"],
        ["--connections", "0"],
        ["--channels", "65"],
        ["--seconds", "601"],
        ["--seconds", "nan"],
        ["--seconds", "soon"],
        ["--amount", "-1"],
        ["--protocol", "smtp"],
    ],
)
def test_a_value_out_of_bounds_is_exit_status_2(settings, words, capsys):
    with pytest.raises(SystemExit) as ended:
        read(settings, *words)
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_a_missing_database_is_found_before_the_load(settings, tmp_path):
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        read(settings, "--plan", plan_file(tmp_path))


def test_no_database_is_needed_without_users_and_audit(settings, tmp_path):
    assert read(settings, "--plan", plan_file(tmp_path), "--no-audit").database is None
    names = ["--username", "u", "--password", "p", "--banker", "b", "--banker-password", "q"]
    assert read(settings, *names, "--no-audit").database is None


def test_a_plan_gets_this_runs_amount_and_keys_and_stays_hot(settings, tmp_path):
    asked = read(settings, "--plan", plan_file(tmp_path), "--no-audit", "--amount", "7", "--idempotency")
    assert asked.plan is not None
    plan = asked.adapted(asked.plan)
    assert (plan.hot, plan.amount, plan.currency) == (True, 7, "EUR")
    assert plan.keys


@pytest.mark.parametrize(
    "members",
    [
        {"accounts": [1]},
        {"accounts": [1, 1]},
        {"accounts": [0, 1]},
        {"accounts": ["1", "2"]},
        {"accounts": None},
        {"token": None},
        {"token": "é"},
        {"currency": 1},
    ],
)
def test_a_file_that_is_no_plan_is_refused(settings, tmp_path, members):
    with pytest.raises(SettingsError, match="plan"):
        read(settings, "--plan", plan_file(tmp_path, **members), "--no-audit")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"token": "t"}'])
def test_a_file_without_the_members_is_refused(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(PlanError, match="not a plan"):
        Plan.read(path)


def test_a_plan_comes_back_from_a_file_only_its_owner_reads(tmp_path):
    path = tmp_path / "plan.json"
    path.touch(mode=0o644)
    plan = Plan("t", [1, 2], "USD", hot=True)
    plan.write(path)
    assert Plan.read(path) == plan
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("hot", [True, False])
def test_pairs_are_two_accounts_and_all_of_them_come_up(hot):
    plan, rng = Plan("t", [1, 2, 3], "USD", hot), random.Random(7)
    pairs = {plan.pair(rng) for _ in range(500)}
    everything = {(a, b) for a in (1, 2, 3) for b in (1, 2, 3) if a != b}
    assert pairs == {pair for pair in everything if pair[0] == 1 or not hot}
