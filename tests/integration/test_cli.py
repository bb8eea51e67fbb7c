"""The command line as a person at a terminal, or a script, meets it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import httpx
import pytest

from tests.support.service import COMMAND, PASSWORD, ROOT, ServiceProcess, free_port


@pytest.mark.parametrize("command", ["serve", "migrate", "user", "hammer", "audit", "mail", "smoke"])
def test_every_subcommand_has_help(command):
    done = subprocess.run([*COMMAND, command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: transactions {command}")


def outcome(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    command, env = [*COMMAND, *arguments], env | environment
    return subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def assert_one_line(done: subprocess.CompletedProcess[str], status: int) -> None:
    assert (done.returncode, done.stdout) == (status, "")
    assert re.fullmatch(r"error: .+\n", done.stderr), done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "serve --workers",
        "user create",
        "user grant alice king",
        "user grant alice banker --email a@b.cd",
        "migrate sideways",
        "migrate up --all",
        "mail burn",
        "audit --fast",
        "smoke",
        "hammer --seconds 0",
        "hammer --connections many",
        "hammer --protocol soap",
        "hammer --url ftp://h",
        "hammer --plan no/such/file",
    ],
)
def test_bad_usage_is_status_2_and_one_line(line, tmp_path):
    assert_one_line(outcome(*line.split(), VAR_DIR=str(tmp_path)), 2)


@pytest.mark.parametrize(
    "line", ["migrate status", "migrate up", "migrate down", "user grant alice banker", "audit"]
)
def test_a_command_without_its_database_is_status_1_and_one_line(line):
    nowhere = f"postgresql://postgres@127.0.0.1:{free_port()}/nowhere?connect_timeout=5"
    assert_one_line(outcome(*line.split(), DATABASE_URL=nowhere), 1)


def test_a_schema_from_the_future_is_left_alone_in_one_line(database, database_url):
    database.execute("update alembic_version set version_num = '9999'")
    assert_one_line(outcome("migrate", "up", DATABASE_URL=database_url), 1)
    assert database.execute("select version_num from alembic_version").fetchone() == ("9999",)


def test_migrate_and_user_speak_json(database_url):
    def answer(*arguments: str) -> object:
        done = outcome(*arguments, "--json", DATABASE_URL=database_url)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    schema = answer("migrate", "status")
    assert schema["current"] == schema["newest"]
    env = {**os.environ, "DATABASE_URL": database_url}
    command = [*COMMAND, "user", "create", "bob", "banker", "--json"]
    made = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, check=True, input=f"{PASSWORD}\n"
    )
    assert json.loads(made.stdout) == {"username": "bob", "roles": ["banker"]}
    assert answer("user", "grant", "bob", "admin") == {"username": "bob", "roles": ["admin", "banker"]}
    assert answer("user", "revoke", "bob", "banker") == {"username": "bob", "roles": ["admin"]}


def test_ctrl_c_at_the_password_is_one_line(database_url):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        environment = {**os.environ, "DATABASE_URL": database_url}
        os.execvpe(sys.executable, [*COMMAND, "user", "create", "bob", "banker"], environment)
    output = _read_until(terminal, b"password: ", b"")
    os.write(terminal, b"\x03")
    output = _read_until(terminal, b"error: interrupted", output)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 1
    assert b"Traceback" not in output


def test_a_bad_setting_is_one_line_and_status_2(tmp_path):
    environment = {**os.environ, "VAR_DIR": str(tmp_path), "SHUTDOWN_GRACE": "soon"}
    done = subprocess.run(
        [*COMMAND, "serve", "--embedded"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert re.fullmatch(r"error: SHUTDOWN_GRACE: .*\n", done.stderr)


def test_serve_refuses_a_schema_that_is_not_the_newest(empty_database_url, redis_url, tmp_path):
    service = ServiceProcess(tmp_path, empty_database_url, redis_url)
    done = service.run("serve")
    assert done.returncode == 2
    assert "run `transactions migrate up`" in done.stderr
    assert service.run("migrate", "status").returncode == 1
    assert service.run("migrate", "up").returncode == 0
    assert service.run("migrate", "status").returncode == 0


def test_serve_goes_on_with_the_schema_of_a_later_release(database, database_url, redis_url, tmp_path):
    database.execute("update alembic_version set version_num = '9999'")
    service = ServiceProcess(tmp_path, database_url, redis_url).start()
    assert service.stop() == 0


@pytest.fixture
def served(database_url, redis_url, tmp_path):
    """Runs `transactions serve` with what keeps it from serving; gives its exit status and what it says of it."""
    service = ServiceProcess(tmp_path, database_url, redis_url)

    def serve(*options: str, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            [*COMMAND, "serve", *options],
            cwd=ROOT,
            env={**service.environment, **environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.returncode, done.stderr

    return serve


@pytest.fixture(params=["1", "2"])
def workers(request):
    """How many."""
    return request.param


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_port_that_is_taken_is_status_1_and_one_line(served, service, protocol, workers):
    name, port = f"{protocol.upper()}_SERVER_ADDRESS", getattr(service, f"{protocol}_port")
    told = f"error: {name}: can not listen on 127.0.0.1:{port}: Address already in use\n"
    assert served(WORKERS=workers, **{name: f"127.0.0.1:{port}"}) == (1, told)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://127.0.0.1:1/x"),
        ("DATABASE_URL", "postgresql://u:hush@no-such-host.invalid/x"),
        ("DATABASE_URL", "postgresql:///x?host=/no/such/folder"),
        ("HTTP_SERVER_ADDRESS", "no-such-host.invalid:8080"),
        ("GRPC_SERVER_ADDRESS", "192.0.2.1:9090"),
    ],
)
def test_what_can_not_be_reached_is_status_1_and_one_line(served, name, value, workers):
    status, errors = served(WORKERS=workers, **{name: value})
    assert status == 1
    assert re.fullmatch(rf"error: {name}: .+\n", errors)
    assert "hush" not in errors


@pytest.mark.parametrize(("part", "wrong"), [("db=0", "db=99"), ("unix://", "unix://nobody:hush@")])
def test_a_redis_that_does_not_let_us_in_is_one_line(served, redis_url, part, wrong, workers):
    status, errors = served(WORKERS=workers, REDIS_URL=redis_url.replace(part, wrong))
    assert status == 1
    assert re.fullmatch(r"error: REDIS_URL: .+\n", errors)
    assert "hush" not in errors


def test_a_redis_that_is_away_is_told_and_does_not_keep_it_from_starting(database_url, tmp_path):
    service = ServiceProcess(tmp_path, database_url, "redis://:hush@127.0.0.1:1/0").start()
    assert service.stop() == 0
    assert re.search(r"^.* WARNING cli.wiring: REDIS_URL: ", service.log.read_text(), re.MULTILINE)
    assert "hush" not in service.log.read_text()


@pytest.mark.parametrize("workers", ["0", "65", "many"])
def test_no_worker_or_too_many_are_refused_before_anything_starts(served, tmp_path, workers):
    status, errors = served("--embedded", WORKERS=workers, DATABASE_URL="", REDIS_URL="")
    assert (status, errors) == (2, "error: WORKERS: must be a whole number from 1 to 64\n")
    assert list(tmp_path.iterdir()) == []


def test_roles_are_granted_and_revoked(service):
    name = service.register(verified=False)
    assert service.run("user", "grant", name, "banker").stdout == f"{name}: banker, depositor\n"
    assert service.run("user", "revoke", name, "depositor").stdout == f"{name}: banker\n"
    assert service.run("user", "grant", "nobody", "banker").returncode == 1
    short = service.run("user", "create", "shorty", "banker", stdin="short\n")
    assert (short.returncode, short.stderr) == (2, "error: password must be 8 to 128 characters\n")


def test_an_admin_is_bootstrapped_once(database_url, redis_url, tmp_path):
    admin = {"BOOTSTRAP_ADMIN_USERNAME": "root", "BOOTSTRAP_ADMIN_PASSWORD": PASSWORD}
    for _ in range(2):
        service = ServiceProcess(tmp_path, database_url, redis_url, **admin).start()
        client = service.client("root")
        assert client.get("/v1/users/root").json()["roles"] == ["admin"]
        assert service.stop() == 0
    other = {**admin, "BOOTSTRAP_ADMIN_USERNAME": "second"}
    service = ServiceProcess(tmp_path, database_url, redis_url, **other).start()
    answer = httpx.post(f"{service.http}/v1/users/login", json={"username": "second", "password": PASSWORD})
    assert answer.status_code == 401
    assert service.stop() == 0


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_hammer_prints_json_with_a_clean_audit(service, protocol):
    done = service.run(
        "hammer",
        "--hot",
        "--protocol",
        protocol,
        "--seconds",
        "1",
        "--accounts",
        "5",
        "--idempotency",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["audit_clean"] is True
    assert result["rate"] > 50
    assert set(result["outcomes"]) == {"ok"}
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"] <= result["latency_ms"]["max"]


def test_hammer_on_nothing_is_status_1(tmp_path, database_url, redis_url):
    service = ServiceProcess(tmp_path, database_url, redis_url)
    done = service.run("hammer", "--seconds", "1")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")


def test_sigusr1_prints_the_supervision_tree(database_url, redis_url, tmp_path):
    service = ServiceProcess(tmp_path, database_url, redis_url).start()
    service.signal(signal.SIGUSR1)
    deadline = time.monotonic() + 5
    while "lane 1" not in service.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "service (one_for_one)" in service.log.read_text()
    assert service.stop() == 0


def test_ctrl_c_in_a_terminal_drains_and_make_exits_with_0(tmp_path):
    """The whole main job below `make`, on a real terminal: ^C ends the service, and make does not die of it."""
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"server:\n\t@cd {ROOT} && exec {sys.executable} -m cli.main serve --embedded\n")
    for path in (tmp_path, *tmp_path.parents[:3]):
        if path.stat().st_uid == os.geteuid():
            path.chmod(path.stat().st_mode | 0o055)
    environment = {
        **os.environ,
        "VAR_DIR": str(tmp_path / "var"),
        "HTTP_SERVER_ADDRESS": f"127.0.0.1:{free_port()}",
        "GRPC_SERVER_ADDRESS": f"127.0.0.1:{free_port()}",
    }
    for name in ("DATABASE_URL", "REDIS_URL"):
        environment.pop(name, None)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("make", ["make", "-f", str(makefile), "server"], environment)
    output = b""
    try:
        output = _read_until(terminal, b"Ctrl-C stops it", output)
        os.write(terminal, b"\x03")
        output = _read_until(terminal, b"stopped", output)
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, output.decode()
    assert not (tmp_path / "var" / "postgres" / "data" / "postmaster.pid").exists()


def _read_until(terminal: int, text: bytes, output: bytes, timeout_s: float = 30) -> bytes:
    deadline = time.monotonic() + timeout_s
    while text not in output:
        assert time.monotonic() < deadline, output.decode()
        output += os.read(terminal, 4096)
    return output
