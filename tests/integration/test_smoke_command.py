"""`transactions smoke` as a deployment runs it, on the real service and on what is none."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
import pytest

from tests.support.service import COMMAND, PASSWORD, ROOT, ServiceProcess, free_port
from tests.support.smtp import make_certificate

CHECKS = 13


def smoke(service: ServiceProcess, *words: str) -> subprocess.CompletedProcess[str]:
    return service.run("smoke", service.http, "--grpc", service.grpc, *words)


def smoke_users(service: ServiceProcess) -> list[tuple[str, list[str]]]:
    with psycopg.connect(service.database_url) as connection:
        return connection.execute(
            "select username, roles from users where username like 'smoke\\_%'"
        ).fetchall()


def test_a_service_that_does_its_job_is_said_so_check_by_check(service):
    done = smoke(service)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == CHECKS
    assert all(line.startswith("ok ") and " ms " in line for line in lines)


def test_what_was_made_for_it_is_left_empty_and_disabled(service):
    done = smoke(service, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["ok"] is True
    assert [check["problem"] for check in result["checks"]] == [""] * CHECKS
    assert all(check["ms"] > 0 for check in result["checks"])
    users = smoke_users(service)
    assert len(users) >= 2
    assert all(roles == [] for _, roles in users)
    with psycopg.connect(service.database_url) as connection:
        balances = connection.execute("select balance from accounts where owner like 'smoke\\_%'").fetchall()
        sessions = connection.execute(
            "select count(*) from sessions where username like 'smoke\\_%' and ended_at is null"
        ).fetchone()
    assert {balance for (balance,) in balances} == {0}
    assert sessions == (0,)
    assert service.audit().returncode == 0


def test_grpc_may_be_over_tls(database_url, redis_url, tmp_path):
    certificate, key = make_certificate(tmp_path)
    tls = {
        "GRPC_TLS_CERTIFICATE": str(certificate),
        "GRPC_TLS_KEY": str(key),
        "SSL_CERT_FILE": str(certificate),
    }
    service = ServiceProcess(tmp_path, database_url, redis_url, **tls).start()
    assert smoke(service, "--grpc-tls").returncode == 0
    done = smoke(service)
    assert done.returncode == 1
    assert "gRPC health: " in done.stdout
    assert service.stop() == 0


def test_given_users_are_used_and_need_no_database(service):
    depositor, banker = service.register(), service.banker()
    before = len(smoke_users(service))
    names = ["--username", depositor, "--password", PASSWORD, "--banker", banker, "--banker-password", PASSWORD]
    environment = {**service.environment, "DATABASE_URL": "", "VAR_DIR": str(service.var_dir)}
    done = subprocess.run(
        [*COMMAND, "smoke", service.http, "--grpc", service.grpc, *names, "--currency", "EUR"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(smoke_users(service)) == before
    with psycopg.connect(service.database_url) as connection:
        currencies = connection.execute(
            "select currency from accounts where owner = %s", [depositor]
        ).fetchall()
    assert currencies == [("EUR",)] * 2


def test_the_first_failure_of_the_job_is_the_last_check(service):
    done = smoke(service, "--currency", "XXX")
    assert done.returncode == 1
    *passed, last = done.stdout.splitlines()
    assert all(line.startswith("ok ") for line in passed)
    assert last.startswith("FAILED ")
    assert last.endswith("two accounts: POST /v1/accounts: 400 invalid_argument")
    assert len(done.stderr.splitlines()) == 1
    assert all(roles == [] for _, roles in smoke_users(service))


def test_a_service_that_is_away_fails_every_probe(service):
    nowhere = f"http://127.0.0.1:{free_port()}"
    done = service.run("smoke", nowhere, "--grpc", f"127.0.0.1:{free_port()}", "--json")
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert [check["name"] for check in result["checks"]] == [
        "readyz", "gRPC health", "openapi.json", "login over HTTP",
    ]  # fmt: skip
    assert all(check["problem"] for check in result["checks"])


def test_whether_it_is_ready_is_asked_of_a_url_or_of_this_machine(service):
    for words in ([], [service.http]):
        done = service.run("smoke", "--ready", *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    environment = {**service.environment, "HTTP_SERVER_ADDRESS": f"0.0.0.0:{service.http_port}"}
    done = subprocess.run(
        [*COMMAND, "smoke", "--ready", "--json"], cwd=ROOT, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] is True
    assert [(check["name"], check["problem"]) for check in told["checks"]] == [("readyz", "")]


def test_one_that_is_away_or_not_ready_is_one_line(service):
    done = service.run("smoke", "--ready", f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: GET /readyz: ")
    assert len(done.stderr.splitlines()) == 1
    with another_service(b'{"status": "draining"}', status=503) as url:
        done = service.run("smoke", "--ready", url)
    assert (done.returncode, done.stderr) == (1, "error: GET /readyz: 503\n")


@contextmanager
def another_service(body: bytes, status: int = 200):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"<html>", "GET /openapi.json: Expecting value"),
        (b"[]", "another shape"),
        (b"{}", "no OpenAPI document"),
    ],
)
def test_what_is_not_the_service_is_not_taken_for_it(service, body, problem):
    with another_service(body) as url:
        done = service.run("smoke", url, "--grpc", service.grpc, "--json")
    assert done.returncode == 1
    by_name = {check["name"]: check["problem"] for check in json.loads(done.stdout)["checks"]}
    assert problem in by_name["openapi.json"]
    assert by_name["gRPC health"] == ""


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["ftp://h:1"], "URL"),
        (["http://h:1/path"], "URL"),
        (["http://h:1", "--grpc", "h"], "--grpc"),
        (["http://h:1", "--username", "u"], "go together"),
        (["http://h:1", "--database-url", "mysql://h/d"], "--database-url"),
        (["http://h:1"], "DATABASE_URL"),
        ([], "URL"),
        (["ftp://h:1", "--ready"], "URL"),
    ],
)
def test_bad_usage_is_status_2_and_one_line(tmp_path, words, names):
    environment = {**os.environ, "VAR_DIR": str(tmp_path), "DATABASE_URL": ""}
    done = subprocess.run(
        [*COMMAND, "smoke", *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert names in done.stderr
    assert len(done.stderr.splitlines()) == 1
