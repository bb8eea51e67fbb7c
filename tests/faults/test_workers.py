"""Several processes behind the same two ports: all of them serve, any of them may die, and none outlives its parent."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
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
    left = workers_of(service)
    if service.process.poll() is None:
        service.kill()
    until(lambda: not any(map(runs, left)))


def until(condition, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def workers_of(service: ServiceProcess) -> list[int]:
    """Their process ids, in the order of their start."""
    return sorted(pid for pid in children(service.process.pid) if is_worker(pid))


def children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    with suppress(OSError):  # it ends meanwhile
        return [int(each) for thread in threads for each in thread.read_text().split()]
    return []


def is_worker(pid: int) -> bool:
    with suppress(OSError):
        return b"--worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


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
    for _ in range(4):
        until(lambda: ready_workers(service) == WORKERS)
        victim = random.choice(workers_of(service))
        os.kill(victim, signal.SIGKILL)
        killed.append(victim)
        until(lambda victim=victim: not runs(victim))
        assert httpx.get(f"{service.http}/readyz").status_code == 200  # the other one, at once
    until(lambda: ready_workers(service) == WORKERS)
    counts = restarts(service)
    load.stop.set()
    thread.join()
    assert set(load.statuses) == {201}
    assert load.statuses[201] > 100
    assert load.repeated > 0
    assert counts["worker 1"] + counts["worker 2"] == 4
    assert not set(workers_of(service)) & set(killed)
    with psycopg.connect(service.database_url) as connection:
        moved = connection.execute("select count(*) from transfers").fetchone()
    assert moved == (load.statuses[201],)
    assert_clean(service)
    assert service.stop() == 0
    assert service.log.read_text().count("WorkerEnded('SIGKILL')") == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_all_of_them_and_every_request_is_answered(service, load, number):
    thread = threading.Thread(target=load.run, kwargs={"again": False})
    thread.start()
    until(lambda: load.statuses[201] > 50)
    workers = workers_of(service)
    assert len(workers) == WORKERS
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
    assert not any(map(runs, workers))
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
    workers = workers_of(service)
    assert len(workers) == WORKERS
    service.kill()
    until(lambda: not any(map(runs, workers)), 6)
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
    until(lambda: not runs(first))
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
    workers = workers_of(service)
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
        assert not any(map(runs, workers))
        thread.join()
    assert service.log.read_text().endswith("draining\nended at once\n")


def ignore_errors(url: str, token: str, body: dict[str, object]) -> None:
    try:
        httpx.post(url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=10)
    except httpx.TransportError:
        return


def test_a_worker_that_does_not_end_is_killed_within_the_grace(service):
    hung, _ = workers = workers_of(service)
    os.kill(hung, signal.SIGSTOP)
    began = time.monotonic()
    service.signal(signal.SIGTERM)
    assert service.wait() == 1
    assert time.monotonic() - began < 8
    assert not any(map(runs, workers))
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


def test_a_signal_at_any_moment_of_the_start_leaves_nobody_behind(database_url, redis_url, tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    service = ServiceProcess(tmp_path, database_url, redis_url, WORKERS="3", SHUTDOWN_GRACE="8s")
    for _ in range(6):
        process = service.spawn()
        until(lambda: workers_of(service))
        time.sleep(rng.random() * 2.5)
        workers = workers_of(service)
        process.send_signal(rng.choice([signal.SIGINT, signal.SIGTERM]))
        assert process.wait(20) == 0, service.log.read_text()
        assert not any(map(runs, workers))
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
        until(lambda: service.log.read_text().count("WorkerEnded('exit status 1')") >= 5, 60)
        assert service.process.poll() is None
        operator.execute(f"alter database {name} with allow_connections true")
    until(lambda: ready_workers(service) == WORKERS, 30)
    assert service.stop() == 0
