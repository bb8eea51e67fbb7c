"""`make server`'s process, signalled and killed at any moment: it ends in time, and leaves nobody behind."""

from __future__ import annotations

import os
import pty
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import httpx
import psycopg
import pytest
import redis

from infra.local.postgres import LocalPostgres
from infra.local.redis import LocalRedis
from tests.support.service import COMMAND, ROOT, ServiceProcess, open_accounts
from tests.support.wire import Wire

PROMPT_S = 4.0
JSON_IN_CHUNKS = ("Content-Type: application/json", "Transfer-Encoding: chunked")


@pytest.fixture
def var_dir():
    """One that PostgreSQL's own user may enter."""
    with tempfile.TemporaryDirectory(prefix="transactions-var-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
        assert servers_in(Path(name)) == []


@pytest.fixture
def embedded(var_dir):
    service = ServiceProcess(var_dir, "", "", SHUTDOWN_GRACE="5s")
    yield service
    if service.process is not None and service.process.poll() is None:
        service.kill()
    for server in (LocalPostgres(var_dir / "postgres"), LocalRedis(var_dir / "redis")):
        server.start()  # whatever was left is replaced
        server.stop()


def servers_in(var_dir: Path) -> list[str]:
    """The processes that work in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            folder, command = (process / "cwd").resolve(strict=True), (process / "cmdline").read_bytes()
        except OSError:
            continue
        if folder.is_relative_to(var_dir):
            found.append(f"{process.name} {command!r}")
    return found


def connect(service: ServiceProcess) -> psycopg.Connection:
    return psycopg.connect(LocalPostgres(service.var_dir / "postgres").url(), autocommit=True)


def test_the_worst_drain_is_within_the_grace_and_orderly(embedded):
    """Nobody reads, no mail is taken, a lane waits for a foreign lock."""
    with socket.create_server(("127.0.0.1", 0)) as silent_smtp:
        embedded.environment["SMTP_URL"] = f"smtp://127.0.0.1:{silent_smtp.getsockname()[1]}"
        embedded.environment["REQUIRE_VERIFIED_EMAIL"] = "false"
        embedded.start()
        name = embedded.register(verified=False)
        url = LocalPostgres(embedded.var_dir / "postgres").url()
        accounts = open_accounts(url, name, 2, overdraft=100)
        credentials = f"Authorization: Bearer {embedded.login(name)}"
        with (
            silent_smtp.accept()[0],  # the mail of the registration is in hand
            closing(connect(embedded)) as foreign,
            Wire(embedded.http_port, "POST /v1/transfers", credentials, *JSON_IN_CHUNKS) as wire,
            socket.create_connection(("127.0.0.1", embedded.http_port)) as deaf_http,
            socket.create_connection(("127.0.0.1", embedded.grpc_port)) as deaf_grpc,
        ):
            foreign.execute("begin")
            foreign.execute("select from accounts where id = %s for update", [accounts[0]])
            wire.say(
                f'{{"from_account_id": {accounts[0]}, "to_account_id": {accounts[1]},'
                ' "amount": 1, "currency": "USD"}'
            )
            wire.finish()
            say_and_never_read(deaf_http, f"GET /openapi.json HTTP/1.1\r\nHost: x\r\n{credentials}\r\n\r\n")
            deaf_grpc.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04\x00" + bytes(4))
            time.sleep(0.3)
            began = time.monotonic()
            embedded.signal(signal.SIGTERM)
            assert embedded.wait() == 0, embedded.log.read_text()
            assert time.monotonic() - began < 5
    for slow in ("ledger/lane", "background/email"):
        assert re.search(f"{slow}.* is cut off", embedded.log.read_text())
    assert servers_in(embedded.var_dir) == []


def say_and_never_read(client: socket.socket, request: str) -> None:
    client.settimeout(0.5)
    try:
        for _ in range(3_000):  # far more than the socket buffers of both sides hold
            client.sendall(request.encode())
    except TimeoutError:
        return


def test_what_can_not_be_drained_is_given_up_in_time(embedded):
    """A COMMIT that waits for a replica there is not: its outcome is unknown, which nobody should wait for."""
    embedded.environment["REQUIRE_VERIFIED_EMAIL"] = "false"
    embedded.start()
    name = embedded.register(verified=False)
    client = embedded.client(name)
    accounts = open_accounts(LocalPostgres(embedded.var_dir / "postgres").url(), name, 2, overdraft=100)
    with closing(connect(embedded)) as operator:
        operator.execute("alter system set synchronous_standby_names to 'nobody'")
        operator.execute("select pg_reload_conf()")
        body = {"from_account_id": accounts[0], "to_account_id": accounts[1], "amount": 1, "currency": "USD"}
        sender = threading.Thread(target=ignore_errors, args=(client, body))
        sender.start()
        waits = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
        deadline = time.monotonic() + 10
        while operator.execute(waits).fetchone() == (0,):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        began = time.monotonic()
        embedded.signal(signal.SIGTERM)
        assert embedded.wait() == 1
        assert time.monotonic() - began < 5
        sender.join()
    assert embedded.log.read_text().endswith("error: not drained within SHUTDOWN_GRACE\n")
    assert servers_in(embedded.var_dir) == []


def ignore_errors(client: httpx.Client, body: dict[str, object]) -> None:
    try:
        client.post("/v1/transfers", json=body)
    except httpx.TransportError:
        return


def test_a_terminal_that_is_closed_leaves_nobody_behind(embedded):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execvpe(sys.executable, [*COMMAND, "serve", "--embedded"], embedded.environment)
    output, deadline = b"", time.monotonic() + 20
    while b"Ctrl-C stops it" not in output:
        assert time.monotonic() < deadline, output
        output += os.read(terminal, 4096)
    os.close(terminal)
    os.waitpid(pid, 0)
    assert servers_in(embedded.var_dir) == []


def test_a_second_signal_ends_the_embedded_servers_too(embedded):
    embedded.start()
    with connect(embedded) as client:
        client.execute("create table kept as select 1 as n")
    embedded.signal(signal.SIGINT)
    time.sleep(0.3)
    began = time.monotonic()
    embedded.signal(signal.SIGINT)
    assert embedded.wait() == 128 + signal.SIGINT
    assert time.monotonic() - began < PROMPT_S
    assert embedded.log.read_text().endswith("ended at once\n")
    assert servers_in(embedded.var_dir) == []
    embedded.start()
    with connect(embedded) as client:
        assert client.execute("select n from kept").fetchone() == (1,)
    assert embedded.stop() == 0


def test_a_second_signal_counts_while_the_embedded_servers_stop(embedded):
    embedded.start()
    redis_pid = int((embedded.var_dir / "redis" / "redis.pid").read_text())
    os.kill(redis_pid, signal.SIGSTOP)  # it will not stop when asked
    embedded.signal(signal.SIGTERM)
    deadline = time.monotonic() + 10
    while "stopped" not in embedded.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    embedded.signal(signal.SIGTERM)
    assert embedded.wait(PROMPT_S) in (0, 128 + signal.SIGTERM)
    assert servers_in(embedded.var_dir) == []


def test_a_signal_that_make_passes_on_is_one(embedded):
    """To the whole group, which `make` does not know: it sends its child the same once more."""
    makefile = embedded.var_dir / "Makefile"
    makefile.write_text(f"server:\n\t@cd {ROOT} && exec {sys.executable} -m cli.main serve --embedded\n")
    with embedded.log.open("ab") as log:
        make = subprocess.Popen(
            ["make", "-f", str(makefile), "server"],
            env=embedded.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + 20
    while "Ctrl-C stops it" not in embedded.log.read_text():
        assert time.monotonic() < deadline, embedded.log.read_text()
        time.sleep(0.02)
    os.killpg(make.pid, signal.SIGTERM)
    make.wait(20)
    while "stopped" not in embedded.log.read_text():
        assert time.monotonic() < deadline, embedded.log.read_text()
        time.sleep(0.02)
    assert "ended at once" not in embedded.log.read_text()
    while servers_in(embedded.var_dir):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_start_is_ready_within_three_seconds_also_after_a_kill(embedded):
    embedded.start()
    assert embedded.stop() == 0
    for end in (embedded.stop, embedded.kill):
        began = time.monotonic()
        embedded.start()
        assert time.monotonic() - began < 3
        end()
    embedded.start()
    assert embedded.stop() == 0


@pytest.mark.parametrize("made", [False, True])
def test_a_signal_during_the_start_ends_it_cleanly(embedded, made):
    """At several moments of a start, of a new folder and of one that is there."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    if made:
        embedded.start()
        assert embedded.stop() == 0
    for _ in range(6):
        number = rng.choice([signal.SIGINT, signal.SIGTERM])
        process = embedded.spawn()
        if wait_for_lock(embedded, process):
            time.sleep(rng.random() * (1.5 if made else 3.5))
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait(20) == 0, embedded.log.read_text()
        assert time.monotonic() - began < PROMPT_S, embedded.log.read_text()
        assert servers_in(embedded.var_dir) == []
    assert "Traceback" not in embedded.log.read_text()
    assert "error" not in embedded.log.read_text()
    embedded.start()
    assert httpx.get(f"{embedded.http}/readyz").status_code == 200
    assert embedded.stop() == 0


def wait_for_lock(service: ServiceProcess, process: subprocess.Popen[bytes]) -> bool:
    """Until it has taken its folder: from then on it has something to lose."""
    lock = service.var_dir / "lock"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if lock.exists() and lock.read_text() == str(process.pid):
            return True
        time.sleep(0.002)
    raise AssertionError(service.log.read_text())


def test_ctrl_c_before_anything_has_started_says_nothing(embedded):
    for pause_s in (0.3, 0.5, 0.8):
        process = embedded.spawn()
        time.sleep(pause_s)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (0, -signal.SIGINT, 128 + signal.SIGINT)
    assert "Traceback" not in embedded.log.read_text()


@pytest.mark.parametrize("name", ["postgres", "redis"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_alone_ends_promptly_and_well(var_dir, name, number):
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.local", name],
        cwd=ROOT,
        env={**os.environ, "VAR_DIR": str(var_dir)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert " runs at " in process.stdout.readline()
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait(20) == 0
        assert time.monotonic() - began < 3
    assert servers_in(var_dir) == []


def test_a_server_alone_says_so_when_it_has_ended(var_dir):
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.local", "redis"],
        cwd=ROOT,
        env={**os.environ, "VAR_DIR": str(var_dir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert " runs at " in process.stdout.readline()
        with redis.Redis.from_url(LocalRedis(var_dir / "redis").url) as client:
            client.shutdown(nosave=True)
        assert process.wait(20) == 1
        assert process.stderr.read() == "error: Redis has ended\n"


def test_two_services_on_one_folder_are_one_clear_line(embedded):
    embedded.start()
    done = embedded.run("serve", "--embedded")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"another service runs on {embedded.var_dir}" in done.stderr
    assert httpx.get(f"{embedded.http}/readyz").status_code == 200
    assert embedded.stop() == 0
