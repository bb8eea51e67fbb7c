"""`transactions mail`, on a real Redis."""

from __future__ import annotations

import argparse
import json

import pytest
import redis as plain_redis

from cli import mail, settings


@pytest.fixture
def command(redis_url, tmp_path, capsys):
    """Runs the subcommand; gives its exit status and what it printed."""
    parser = argparse.ArgumentParser()
    mail.add_parser(parser.add_subparsers())

    def run(*arguments: str, url: str = redis_url) -> tuple[int, str, str]:
        parsed = parser.parse_args(["mail", *arguments])
        status = parsed.run(parsed, settings.load({"REDIS_URL": url, "VAR_DIR": str(tmp_path)}))
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def two_dead_letters(redis_url):
    with plain_redis.Redis.from_url(redis_url) as client:
        for number, reason in ((7, "550 [bold]nobody"), (8, "451 later")):
            client.xadd("mail:dead", {"outbox_id": number, "sealed": b"secret", "reason": reason})
        client.xadd("mail", {"outbox_id": 9, "sealed": b"secret"})


def test_mail_shows_numbers_and_reasons_but_no_mail(command, two_dead_letters):
    status, output, _ = command()
    assert status == 0
    assert "1 waiting, 0 being sent, 2 dead letters" in output
    assert "550 [bold]nobody" in output
    assert "secret" not in output


def test_mail_json_is_one_object(command, two_dead_letters):
    status, output, _ = command("--json")
    shown = json.loads(output)
    assert status == 0
    assert (shown["waiting"], shown["pending"], shown["dead"]) == (1, 0, 2)
    assert [each["outbox_id"] for each in shown["newest_dead_letters"]] == [8, 7]


def test_mail_of_an_empty_queue_is_zeros(command):
    assert command()[1] == "0 waiting, 0 being sent, 0 dead letters\n"


def test_mail_retry_dead_puts_them_back(command, two_dead_letters):
    assert command("retry-dead") == (0, "2 dead letters revived\n", "")
    shown = json.loads(command("--json")[1])
    assert (shown["waiting"], shown["dead"]) == (3, 0)


def test_mail_purge_dead_forgets_them(command, two_dead_letters):
    assert json.loads(command("purge-dead", "--json")[1]) == {"purged": 2}
    shown = json.loads(command("--json")[1])
    assert (shown["waiting"], shown["dead"]) == (1, 0)


def test_mail_says_in_one_line_that_redis_is_away(command, tmp_path):
    status, output, errors = command(url=f"unix://{tmp_path}/nowhere.sock")
    assert (status, output) == (1, "")
    assert errors.startswith("error: Redis: ")
    assert errors.count("\n") == 1
