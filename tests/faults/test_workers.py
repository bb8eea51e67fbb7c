"""Several processes behind the same two ports: all of them serve, any of them may die, and none outlives its parent."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import grpc
import httpx
import psycopg
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from cli.hammer.http_client import HttpClient, HttpFailed
from infra.local.postgres import LocalPostgres
from infra.local.redis import LocalRedis
from tests.faults.test_transfers_under_fire import assert_clean, post_all
from tests.support.ledger_calls import LedgerCalls, order
from tests.support.service import ServiceProcess, open_accounts

WORKERS = 2
CLIENTS = 16


@pytest.fixture
def service(database_url, redis_url, tmp_path):
    """One with two workers, both of which have been ready."""
    service = ServiceProcess(
        tmp_path, database_url, redis_url, WORKERS=str(WORKERS), SHUTDOWN_GRACE="8s", ACCESS_TOKEN_DURATION="1h"
    )
    service.start()
    until(lambda: "Ctrl-C stops it" in service.log.read_text())
    yield service
    left = processes_of(service)
    for pid, _ in left:
        os.kill(pid, signal.SIGKILL)
    service.wait()
    until(lambda: not processes_of(service))


def until(condition, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def workers_of(service: ServiceProcess) -> list[int]:
    """The process ids of its workers, in the order of their start."""
    return sorted(pid for pid, command in processes_of(service) if b"--worker" in command)


def processes_of(service: ServiceProcess) -> list[tuple[int, bytes]]:
    """Whoever has its environment, with his command line; not who has ended and is only waited for."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environment, command = ((process / name).read_bytes() for name in ("environ", "cmdline"))
            if f"VAR_DIR={service.var_dir}\0".encode() in environment:
                found.append((int(process.name), command))
    return found


def samples(service: ServiceProcess, name: str) -> list[tuple[dict[str, str], float]]:
    text = httpx.get(f"{service.http}/metrics").text
    return [
        (each.labels, each.value)
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.name == name
    ]


def by_worker(service: ServiceProcess, transport: str, operation: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for labels, value in samples(service, "transactions_answer_seconds_count"):
        if (labels["transport"], labels["operation"]) == (transport, operation):
            counts[labels["worker"]] += int(value)
    return counts


def ready_workers(service: ServiceProcess) -> int:
    return sum(int(value) for _, value in samples(service, "transactions_worker_ready"))


def restarts(service: ServiceProcess) -> dict[str, int]:
    found = samples(service, "transactions_child_restarts")
    return {labels["child"]: int(value) for labels, value in found if labels["worker"] == "supervisor"}


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # what is only waiting for its end is no one's
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Load:
    """Clients of HTTP that send transfers with a key each, and again until there is an answer."""

    def __init__(self, service: ServiceProcess, accounts: list[int], token: str, rng: random.Random) -> None:
        self._port = service.http_port
        self._accounts = accounts
        self._token = token
        self._rng = rng
        self.stop = threading.Event()
        self.statuses: Counter[int] = Counter()
        self.repeated = 0
        self.unanswered = 0

    async def _client(self, number: int, *, again: bool) -> None:
        numbers = iter(range(10**9))
        while not self.stop.is_set():
            source, target = self._rng.sample(self._accounts, 2)
            key = f"Idempotency-Key: c{number}-{next(numbers)}\r\n".encode()
            body = {"from_account_id": source, "to_account_id": target, "amount": 1, "currency": "USD"}
            if not await self._send(json.dumps(body).encode(), key, again=again):
                return

    async def _send(self, body: bytes, key: bytes, *, again: bool) -> bool:
        headers = {"Authorization": f"Bearer {self._token}"}
        with trio.fail_after(30):
            while True:
                try:
                    async with HttpClient("127.0.0.1", self._port, headers) as client:
                        status, _ = await client.request("POST", "/v1/transfers", body, key)
                except HttpFailed:
                    if not again:
                        self.unanswered += 1
                        return False
                    self.repeated += 1
                    await trio.sleep(0.01)
                else:
                    self.statuses[status] += 1
                    return True

    def run(self, *, again: bool = True) -> None:
        async def main() -> None:
            async with trio.open_nursery() as nursery:
                for number in range(CLIENTS):
                    nursery.start_soon(lambda number=number: self._client(number, again=again))

        trio.run(main)


@pytest.fixture
def load(service):
    """Not yet run."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    name = service.register()
    accounts = open_accounts(service.database_url, name, 8, overdraft=10**9)
    return Load(service, accounts, service.login(name), random.Random(seed))


def test_every_worker_serves_and_any_of_them_tells_of_all(service):
    name = service.register()
    accounts = open_accounts(service.database_url, name, 2, overdraft=10**6)
    token, sent = service.login(name), 0
    while len(by_worker(service, "v1", "create_transfer")) < WORKERS:
        assert sent < 5_000
        assert post_all(service.http, token, [(*accounts, 1)] * 100) == {"ok": 100}
        sent += 100
    for _ in range(5):  # whoever answers
        assert by_worker(service, "v1", "create_transfer").total() == sent
    while len(by_worker(service, "grpc", "batch_transfers")) < WORKERS:
        with grpc.insecure_channel(service.grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            calls = LedgerCalls(channel, token)
            calls.batch([order(*accounts)])
    told = {labels["worker"] for labels, _ in samples(service, "process_cpu_seconds_total")}
    assert told == {"supervisor", "1", "2"}
    assert_clean(service)
    assert service.stop() == 0


def test_a_killed_worker_costs_no_transfer_that_is_asked_for_again(service, load):
    thread = threading.Thread(target=load.run)
    thread.start()
    killed = []
    for _ in range(3):
        until(lambda: ready_workers(service) == WORKERS)
        victim = random.choice(workers_of(service))
        os.kill(victim, signal.SIGKILL)
        killed.append(victim)
        until(lambda victim=victim: victim not in workers_of(service))
        assert httpx.get(f"{service.http}/readyz").status_code == 200  # the other one, at once
    until(lambda: ready_workers(service) == WORKERS)
    counts = restarts(service)
    load.stop.set()
    thread.join()
    assert set(load.statuses) == {201}
    assert load.statuses[201] > 100
    assert load.repeated > 0
    assert counts["worker 1"] + counts["worker 2"] == 3
    assert not set(workers_of(service)) & set(killed)
    with psycopg.connect(service.database_url) as connection:
        moved = connection.execute("select count(*) from transfers").fetchone()
    assert moved == (load.statuses[201],)
    assert_clean(service)
    assert service.stop() == 0
    assert service.log.read_text().count("WorkerEnded('SIGKILL')") == 3


def test_who_comes_while_they_drain_is_refused_and_not_left_waiting(service):
    accounts = open_accounts(service.database_url, name := service.register(), 2, overdraft=100)
    token = service.login(name)
    body = {"from_account_id": accounts[0], "to_account_id": accounts[1], "amount": 1, "currency": "USD"}
    answers: list[int] = []

    def send() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        answers.append(
            httpx.post(f"{service.http}/v1/transfers", json=body, headers=headers, timeout=20).status_code
        )

    with psycopg.connect(service.database_url) as foreign:
        foreign.execute("select from accounts where id = %s for update", [accounts[0]])
        thread = threading.Thread(target=send)
        thread.start()
        time.sleep(0.3)
        service.signal(signal.SIGTERM)
        for port in (service.http_port, service.grpc_port):
            until(lambda port=port: is_refused(port), 3)
        assert service.process.poll() is None
        foreign.rollback()
        thread.join()
    assert answers == [201]
    assert service.wait() == 0


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # the last of them closes its queue
        return False
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_all_of_them_and_every_request_is_answered(service, load, number):
    thread = threading.Thread(target=load.run, kwargs={"again": False})
    thread.start()
    until(lambda: load.statuses[201] > 50)
    assert len(workers_of(service)) == WORKERS
    service.signal(number)
    until(lambda: readyz(service) != 200, 5)
    assert service.wait() == 0, service.log.read_text()
    thread.join()
    # Each client was answered until nobody listened; one that connected then was refused, and sent nothing.
    assert set(load.statuses) == {201}
    assert load.unanswered == CLIENTS
    with psycopg.connect(service.database_url) as connection:
        moved = connection.execute("select count(*) from transfers").fetchone()
    assert moved == (load.statuses[201],)
    assert not processes_of(service)
    assert is_free(service.http_port)
    assert is_free(service.grpc_port)
    assert service.log.read_text().endswith("draining\nstopped\n")


def readyz(service: ServiceProcess) -> int:
    try:
        return httpx.get(f"{service.http}/readyz").status_code
    except httpx.TransportError:
        return 0


def test_workers_of_a_killed_parent_drain(service, load):
    thread = threading.Thread(target=load.run, kwargs={"again": False})
    thread.start()
    until(lambda: load.statuses[201] > 50)
    assert len(workers_of(service)) == WORKERS
    service.kill()
    until(lambda: not processes_of(service), 6)
    thread.join()
    assert set(load.statuses) == {201}
    with psycopg.connect(service.database_url) as connection:
        moved = connection.execute("select count(*) from transfers").fetchone()
    assert moved == (load.statuses[201],)
    assert is_free(service.http_port)
    service.start()
    assert_clean(service)
    assert service.stop() == 0


def test_one_worker_that_is_told_to_drain_is_replaced(service):
    first, second = workers_of(service)
    os.kill(first, signal.SIGTERM)
    until(lambda: first not in workers_of(service))
    until(lambda: ready_workers(service) == WORKERS)
    assert second in workers_of(service)
    assert service.stop() == 0


def test_the_tree_of_every_process_is_printed(service):
    service.signal(signal.SIGUSR1)
    told = ("workers (one_for_one)", "  worker 1 (restarts 0): WorkerStatistics", "\nworker 2\n", "lane 3")
    until(lambda: all(each in service.log.read_text() for each in told))
    until(lambda: service.log.read_text().count("service (one_for_one)") == WORKERS)
    assert service.stop() == 0


def test_a_second_signal_ends_all_of_them_at_once(service):
    name = service.register()
    accounts = open_accounts(service.database_url, name, 2, overdraft=100)
    token = service.login(name)
    with psycopg.connect(service.database_url) as foreign:
        foreign.execute("select from accounts where id = %s for update", [accounts[0]])
        body = {"from_account_id": accounts[0], "to_account_id": accounts[1], "amount": 1, "currency": "USD"}
        thread = threading.Thread(target=ignore_errors, args=(f"{service.http}/v1/transfers", token, body))
        thread.start()
        time.sleep(0.3)
        service.signal(signal.SIGTERM)
        time.sleep(0.3)
        assert service.process.poll() is None
        service.signal(signal.SIGTERM)
        assert service.process.wait(5) == 128 + signal.SIGTERM  # it would have waited for the lock
        assert not processes_of(service)
        thread.join()
    assert service.log.read_text().endswith("draining\nended at once\n")


def ignore_errors(url: str, token: str, body: dict[str, object]) -> None:
    try:
        httpx.post(url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=10)
    except httpx.TransportError:
        return


def test_a_worker_that_does_not_end_is_killed_within_the_grace(service):
    hung, _ = workers_of(service)
    os.kill(hung, signal.SIGSTOP)
    began = time.monotonic()
    service.signal(signal.SIGTERM)
    assert service.wait() == 1
    assert time.monotonic() - began < 8
    assert not processes_of(service)
    assert service.log.read_text().endswith("error: not drained within SHUTDOWN_GRACE\n")


def test_metrics_are_told_without_a_worker_that_hangs(service):
    hung, _ = workers_of(service)
    os.kill(hung, signal.SIGSTOP)
    told: set[str] = set()
    with httpx.Client(base_url=service.http, timeout=20) as client:
        until(lambda: readyz_of(client) == 200)
        told = set(re.findall(r'process_cpu_seconds_total\{worker="(\w+)"\}', client.get("/metrics").text))
    assert len(told) == 2
    assert "supervisor" in told
    os.kill(hung, signal.SIGCONT)
    assert service.stop() == 0


def readyz_of(client: httpx.Client) -> int:
    return client.get("/readyz").status_code


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGTERM), (signal.SIGKILL,)])
def test_a_signal_at_any_moment_of_the_start_leaves_nobody_behind(database_url, redis_url, tmp_path, numbers):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    service = ServiceProcess(tmp_path, database_url, redis_url, WORKERS="3", SHUTDOWN_GRACE="8s")
    for _ in range(4):
        process, number = service.spawn(), rng.choice(numbers)
        until(lambda: workers_of(service))
        time.sleep(rng.random() * 2.5)
        process.send_signal(number)
        assert process.wait(20) == (-number if number == signal.SIGKILL else 0), service.log.read_text()
        if number == signal.SIGKILL:
            until(lambda: not processes_of(service), 5)
        assert not processes_of(service)
        assert is_free(service.http_port)
    assert "Traceback" not in service.log.read_text()
    assert "error" not in service.log.read_text()


def test_a_worker_that_can_not_start_ends_the_service_with_one_line(database_url, redis_url, tmp_path):
    with psycopg.connect(database_url, autocommit=True) as connection:
        # What the parent has looked at is in order; what a worker needs is not.
        connection.execute("alter table accounts rename to accounts_no_more")
    service = ServiceProcess(tmp_path, database_url, redis_url, WORKERS="3")
    process = service.spawn()
    assert process.wait(30) == 1
    assert re.fullmatch(r"error: DATABASE_URL: .+\n", service.log.read_text())


def test_a_worker_killed_while_the_database_is_away_comes_back_with_it(service, database_url):
    name = re.search(r"/(test_\w+)\?", database_url)[1]
    victim = workers_of(service)[0]
    server = database_url.replace(name, "postgres")
    with psycopg.connect(server, autocommit=True) as operator:
        operator.execute(f"alter database {name} with allow_connections false")
        operator.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        os.kill(victim, signal.SIGKILL)
        until(lambda: service.log.read_text().count("WorkerEnded('exit status 1')") >= 3, 60)
        assert service.process.poll() is None
        operator.execute(f"alter database {name} with allow_connections true")
    until(lambda: ready_workers(service) == WORKERS, 30)
    assert service.stop() == 0


@pytest.fixture
def embedded():
    """`make server`'s, with two workers; PostgreSQL's own user may enter its folder."""
    with tempfile.TemporaryDirectory(prefix="transactions-var-") as name:
        Path(name).chmod(0o755)
        service = ServiceProcess(Path(name), "", "", WORKERS=str(WORKERS), SHUTDOWN_GRACE="5s")
        yield service.start()
        if service.process.poll() is None:
            service.kill()
        until(lambda: not workers_of(service))
        for server in (LocalPostgres(service.var_dir / "postgres"), LocalRedis(service.var_dir / "redis")):
            server.start()  # whatever was left is replaced
            server.stop()


def test_embedded_servers_end_after_the_workers(embedded):
    embedded.register()
    embedded.signal(signal.SIGINT)
    assert embedded.wait() == 0
    assert not processes_of(embedded)
    assert "cut off" not in embedded.log.read_text()
    assert "ERROR" not in embedded.log.read_text()


def test_a_second_signal_ends_workers_and_embedded_servers(embedded):
    embedded.signal(signal.SIGINT)
    time.sleep(0.3)
    embedded.signal(signal.SIGINT)
    assert embedded.wait(5) == 128 + signal.SIGINT
    assert not processes_of(embedded)


def test_a_killed_service_can_be_started_again_at_once(embedded):
    name = embedded.register()
    embedded.kill()
    embedded.start()
    assert embedded.client(name).get(f"/v1/users/{name}").status_code == 200
    assert embedded.stop() == 0
    until(lambda: not processes_of(embedded))
