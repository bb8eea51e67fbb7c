"""`transactions hammer` as a stranger runs it, on the real service."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time

import psycopg
import pytest

from cli.hammer.load import ANSWER_GRACE_S
from tests.support.service import COMMAND, PASSWORD, ROOT, ServiceProcess, free_port

INTERRUPTED_WITHIN_S = 30
BRIEF = ["--accounts", "4", "--connections", "8", "--seconds", "0.5"]


def transfers(service: ServiceProcess) -> int:
    with psycopg.connect(service.database_url) as connection:
        return connection.execute("select count(*) from transfers").fetchone()[0]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_hammer_makes_its_users_transfers_and_audits(service: ServiceProcess, protocol):
    done = service.run("hammer", "--json", "--hot", "--idempotency", "--protocol", protocol, *BRIEF)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["audit_clean"] is True
    assert result["lost"] == 0
    assert result["outcomes"]["ok"] > 10
    assert set(result["outcomes"]) == {"ok"}


def test_hammer_shows_a_table_and_the_audit(service: ServiceProcess):
    done = service.run("hammer", *BRIEF)
    assert done.returncode == 0, done.stderr
    for word in ("transfers/s", "p50 ms", "p99 ms", "ok", "holds"):
        assert word in done.stdout


def test_hammer_runs_on_a_saved_plan(service: ServiceProcess, tmp_path):
    plan = str(tmp_path / "plan.json")
    assert service.run("hammer", "--hot", "--accounts", "3", "--save-plan", plan).returncode == 0
    done = service.run("hammer", "--plan", plan, "--json", "--no-audit", "--seconds", "0.3")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["hot"], result["audit_clean"]) == (True, None)


def test_hammer_takes_given_credentials(service: ServiceProcess):
    depositor, banker = service.register(), service.banker()
    names = ["--username", depositor, "--password", PASSWORD, "--banker", banker, "--banker-password", PASSWORD]
    done = service.run("hammer", "--json", "--no-audit", *names, *BRIEF)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("protocol", "where"), [("http", "POST /v1/users/login: "), ("grpc", "")])
def test_hammer_with_a_wrong_password_fails_in_one_line(service: ServiceProcess, protocol, where):
    names = ["--username", "nobody", "--password", "x", "--banker", "nobody2", "--banker-password", "x"]
    done = service.run("hammer", "--json", "--protocol", protocol, *names, *BRIEF)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {where}unauthenticated: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("protocol", "other"), [("http", "--grpc=127.0.0.1:{}"), ("grpc", "--url=http://127.0.0.1:{}")]
)
def test_hammer_needs_no_protocol_but_that_of_its_load(service: ServiceProcess, protocol, other):
    done = service.run("hammer", "--json", "--protocol", protocol, other.format(free_port()), *BRIEF)
    assert done.returncode == 0, done.stderr


def test_hammer_prepares_nothing_in_an_unknown_currency(service: ServiceProcess):
    done = service.run("hammer", "--currency", "XXX", *BRIEF)
    assert done.returncode == 1
    assert done.stderr.startswith("error: POST /v1/accounts: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_hammer_without_a_server_fails_in_one_line(service: ServiceProcess, tmp_path, protocol):
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"token": "t", "accounts": [1, 2], "currency": "USD", "hot": False}))
    where = [f"--url=http://127.0.0.1:{free_port()}", f"--grpc=127.0.0.1:{free_port()}"]
    done = service.run("hammer", "--plan", str(plan), "--protocol", protocol, *where)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_hammer_reports_the_load_when_the_audit_cannot_be_made(service: ServiceProcess, tmp_path):
    plan = str(tmp_path / "plan.json")
    assert service.run("hammer", "--accounts", "2", "--save-plan", plan).returncode == 0
    nowhere = f"postgresql://postgres@127.0.0.1:{free_port()}/nowhere"
    done = service.run("hammer", "--plan", plan, "--json", "--seconds", "0.3", "--database-url", nowhere)
    assert done.returncode == 1
    assert json.loads(done.stdout)["audit_clean"] is False
    assert "the audit was not made" in done.stderr


def test_hammer_with_a_token_nobody_issued_makes_no_transfer(service: ServiceProcess, tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"token": "t", "accounts": [1, 2], "currency": "USD", "hot": False}))
    for protocol in ("http", "grpc"):
        done = service.run(
            "hammer", "--plan", str(plan), "--json", "--no-audit", "--seconds", "0.2", "--protocol", protocol
        )
        assert done.returncode == 1
        assert set(json.loads(done.stdout)["outcomes"]) == {"invalid_token"}


def started(service: ServiceProcess, *options: str) -> subprocess.Popen[str]:
    command = [*COMMAND, "hammer", *options, "--seconds", "60"]
    return subprocess.Popen(
        command, cwd=ROOT, env=service.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("form", ["--json", "--idempotency"])
def test_an_interrupt_ends_the_load_and_the_report_follows(service: ServiceProcess, tmp_path, form):
    plan = str(tmp_path / "plan.json")
    assert service.run("hammer", "--accounts", "2", "--save-plan", plan).returncode == 0
    before = transfers(service)
    process = started(service, "--plan", plan, form)
    while transfers(service) < before + 20:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    if form == "--json":
        result = json.loads(output)
        assert result["seconds"] < INTERRUPTED_WITHIN_S
        assert result["audit_clean"] is True
    else:
        for word in ("transfers/s", "p99 ms", "ok", "holds"):
            assert word in output


def test_an_interrupt_of_the_preparation_is_one_line(service: ServiceProcess):
    process = started(service, "--accounts", "100000")
    with psycopg.connect(service.database_url, autocommit=True) as connection:
        known = connection.execute("select max(id) from accounts").fetchone()[0] or 0
        while (connection.execute("select max(id) from accounts").fetchone()[0] or 0) < known + 5:
            assert process.poll() is None
            time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (1, "", "error: ended before the load began\n")


def test_a_second_interrupt_waits_for_no_answer(service: ServiceProcess, tmp_path):
    """The first waits for what is in flight, here at a server that never answers; the second does not."""
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"token": "t", "accounts": [1, 2], "currency": "USD", "hot": False}))
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = started(service, "--plan", str(plan), "--url", url, "--connections", "1", "--no-audit")
        accepted = [silent.accept()[0] for _ in range(2)]  # the look whether anybody listens, and the load
        assert accepted[1].recv(4096)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        for connection in accepted:
            connection.close()
    assert time.monotonic() - began < ANSWER_GRACE_S
    assert process.returncode == 1
    assert "Traceback" not in errors
