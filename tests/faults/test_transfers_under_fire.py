"""Transfers at once, across processes, and through a SIGKILL: nothing lost, nothing twice, no deadlock."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter

import httpx
import psycopg
import pytest
import trio

from cli.hammer.http_client import HttpClient, HttpFailed
from infra.local.postgres import LocalPostgres
from tests.support.service import ServiceProcess, open_accounts

CONNECTIONS_MAX = 1_000


def balances(database_url: str, accounts: list[int]) -> list[int]:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select balance from accounts where id = any(%s) order by id", [accounts]
        ).fetchall()
    return [row[0] for row in rows]


def post_all(address: str, token: str, orders: list[tuple[int, int, int]]) -> Counter[str]:
    """Send all orders at once, each on a connection of its own; returns how many ended how."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    outcomes: Counter[str] = Counter()

    async def main() -> None:
        waiting = iter(orders)

        async def worker() -> None:
            async with HttpClient(host, int(port), {"Authorization": f"Bearer {token}"}) as client:
                for source, target, amount in waiting:
                    body = {
                        "from_account_id": source,
                        "to_account_id": target,
                        "amount": amount,
                        "currency": "USD",
                    }
                    status, raw = await client.request("POST", "/v1/transfers", json.dumps(body).encode())
                    outcomes["ok" if status == 201 else json.loads(raw)["code"]] += 1

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for _ in range(min(len(orders), CONNECTIONS_MAX)):
                    nursery.start_soon(worker)

    trio.run(main)
    return outcomes


def deposit(service: ServiceProcess, accounts: list[int], amount: int) -> None:
    banker = service.client(service.banker())
    for account in accounts:
        response = banker.post(f"/v1/accounts/{account}/deposits", json={"amount": amount})
        assert response.status_code == 201, response.text


def assert_clean(service: ServiceProcess) -> None:
    done = service.audit()
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_thousand_transfers_both_ways_between_a_pair_leave_exact_balances(service):
    name = service.register()
    pair = open_accounts(service.database_url, name, 2)
    deposit(service, pair, 10_000)
    orders = [(pair[n % 2], pair[1 - n % 2], 1 + n % 3) for n in range(1000)]
    assert post_all(service.http, service.login(name), orders) == {"ok": 1000}
    moved = sum(amount if source == pair[0] else -amount for source, _, amount in orders)
    assert balances(service.database_url, pair) == [10_000 - moved, 10_000 + moved]
    assert_clean(service)


def test_a_thousand_transfers_around_a_ring_leave_exact_balances(service):
    name = service.register()
    ring = open_accounts(service.database_url, name, 8)
    deposit(service, ring, 1_000)
    orders = [(ring[n % 8], ring[(n + 1) % 8], 5) for n in range(1000)]
    assert post_all(service.http, service.login(name), orders) == {"ok": 1000}
    assert balances(service.database_url, ring) == [1_000] * 8
    assert_clean(service)


def test_of_200_transfers_of_the_whole_balance_exactly_one_wins(service):
    name = service.register()
    source, *targets = open_accounts(service.database_url, name, 5)
    deposit(service, [source], 777)
    orders = [(source, targets[n % 4], 777) for n in range(200)]
    assert post_all(service.http, service.login(name), orders) == {"ok": 1, "insufficient_funds": 199}
    after = balances(service.database_url, [source, *targets])
    assert after[0] == 0
    assert sorted(after[1:]) == [0, 0, 0, 777]


@pytest.fixture
def two_services(database_url, redis_url, tmp_path):
    # They share the mail queue too, so either may send a mail: into one folder.
    services = [ServiceProcess(tmp_path, database_url, redis_url).start() for _ in range(2)]
    yield services
    for each in services:
        assert each.stop() == 0, each.log.read_text()


def test_two_processes_on_one_database_end_with_a_clean_audit(two_services, database_url):
    first, second = two_services
    name = first.register()
    accounts = open_accounts(database_url, name, 12)
    deposit(first, accounts, 5_000)
    token = first.login(name)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    results: dict[str, Counter[str]] = {}

    def load(service: ServiceProcess) -> None:
        orders = [(*rng.sample(accounts, 2), rng.randint(1, 400)) for _ in range(600)]
        results[service.http] = post_all(service.http, token, orders)

    def come_and_go(service: ServiceProcess) -> None:
        banker = service.client(service.banker())
        for number in range(60):
            account = accounts[number % len(accounts)]
            for way in ("deposits", "withdrawals"):
                answer = banker.post(f"/v1/accounts/{account}/{way}", json={"amount": 1})
                came_and_went[answer.json().get("code", way)] += 1

    came_and_went: Counter[str] = Counter()
    threads = [threading.Thread(target=load, args=(service,)) for service in two_services]
    threads += [threading.Thread(target=come_and_go, args=(service,)) for service in two_services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    for outcomes in results.values():
        assert set(outcomes) <= {"ok", "insufficient_funds"}, outcomes
        assert outcomes["ok"] > 300
    stayed = came_and_went["deposits"] - came_and_went["withdrawals"]
    assert came_and_went["deposits"] == 120
    assert stayed == came_and_went["insufficient_funds"]
    assert sum(balances(database_url, accounts)) == 12 * 5_000 + stayed
    assert_clean(second)


def test_the_same_key_on_two_processes_moves_money_once(two_services, database_url):
    first, _ = two_services
    name = first.register()
    accounts = open_accounts(database_url, name, 2)
    deposit(first, accounts[:1], 1_000)
    token = first.login(name)
    headers = {"Authorization": f"Bearer {token}"}
    body = {"from_account_id": accounts[0], "to_account_id": accounts[1], "amount": 1, "currency": "USD"}
    answers: list[httpx.Response] = []

    def send(url: str, key: str) -> None:
        answers.append(
            httpx.post(
                f"{url}/v1/transfers", json=body, headers={**headers, "Idempotency-Key": key}, timeout=20
            )
        )

    for number in range(20):
        threads = [
            threading.Thread(target=send, args=(service.http, f"k{number}"))
            for service in two_services
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["transfer"]["id"] for answer in answers}) == 20
    assert balances(database_url, accounts) == [980, 20]


def test_a_killed_service_loses_no_acknowledged_transfer_and_repeats_none(database_url, redis_url, tmp_path):
    service = ServiceProcess(tmp_path, database_url, redis_url).start()
    name = service.register()
    accounts = open_accounts(database_url, name, 6)
    deposit(service, accounts, 1_000_000)
    token = service.login(name)
    acknowledged: dict[str, int] = {}
    sent: list[tuple[str, bytes]] = []
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)

    async def worker(number: int) -> None:
        client = HttpClient("127.0.0.1", service.http_port, {"Authorization": f"Bearer {token}"})
        async with client:
            for n in range(10_000):
                source, target = rng.sample(accounts, 2)
                key = f"w{number}-{n}"
                body = json.dumps(
                    {"from_account_id": source, "to_account_id": target, "amount": 1, "currency": "USD"}
                ).encode()
                sent.append((key, body))
                header = f"Idempotency-Key: {key}\r\n".encode()
                try:
                    status, raw = await client.request("POST", "/v1/transfers", body, header)
                except HttpFailed:
                    return
                assert status == 201, raw
                acknowledged[key] = json.loads(raw)["transfer"]["id"]

    async def hammer_and_kill() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(32):
                nursery.start_soon(worker, number)
            await trio.sleep(1.0 + rng.random() / 2)
            service.signal(9)
        service.wait()

    trio.run(hammer_and_kill)
    assert len(acknowledged) > 100
    service.start()
    with psycopg.connect(database_url) as connection:
        there = {row[0] for row in connection.execute("select id from transfers")}
        assert set(acknowledged.values()) <= there
        before = connection.execute("select count(*) from transfers").fetchone()
    # Every request again: what was carried out is answered from memory, the rest is carried out now.
    client = service.client(name)
    for key, body in sent:
        response = client.post("/v1/transfers", content=body, headers={"Idempotency-Key": key})
        assert response.status_code == 201
        if key in acknowledged:
            assert response.json()["transfer"]["id"] == acknowledged[key]
            assert response.headers["Idempotency-Replayed"] == "true"
    with psycopg.connect(database_url) as connection:
        after = connection.execute("select count(*) from transfers").fetchone()
        assert after[0] - 6 == len(sent), (before, after)
    assert_clean(service)
    assert service.stop() == 0


def test_a_broken_actor_fails_its_own_messages_only_and_is_back(database_url, redis_url, tmp_path):
    service = ServiceProcess(tmp_path, database_url, redis_url).start()
    name = service.register()
    broken, other, third, fourth = open_accounts(database_url, name, 4)
    deposit(service, [broken, other, third], 1_000)
    client = service.client(name)

    def move(source: int, target: int) -> httpx.Response:
        body = {"from_account_id": source, "to_account_id": target, "amount": 10, "currency": "USD"}
        return client.post("/v1/transfers", json=body)

    assert move(broken, other).status_code == 201
    with psycopg.connect(database_url, autocommit=True) as connection:
        # The database loses the account's newest entry: no lawful writer can do this.
        connection.execute("set session_replication_role = replica")
        connection.execute("update accounts set balance = balance + 10, seq = seq - 1 where id = %s", [broken])
        connection.execute("delete from entries where account_id = %s and seq = 2", [broken])
    token, outcomes = service.login(name), {}

    def load(what: str, source: int, target: int, number: int) -> None:
        outcomes[what] = post_all(service.http, token, [(source, target, 1)] * number)

    threads = [
        threading.Thread(target=load, args=("its own", broken, third, 20)),
        threading.Thread(target=load, args=("others", other, fourth, 200)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes["others"] == {"ok": 200}
    assert 1 <= outcomes["its own"]["unavailable"] <= 20
    assert outcomes["its own"].total() == outcomes["its own"]["unavailable"] + outcomes["its own"]["ok"]
    assert move(broken, third).status_code == 201
    done = service.audit()
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: account {broken}: transfer ")
    assert service.stop() == 0


def test_transfers_survive_a_restart_of_postgresql(redis_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("restart")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    postgres = LocalPostgres(folder / "postgres")
    postgres.start()
    postgres.create_database("transactions")
    from migrations import run as migrations

    migrations.up(postgres.url())
    service = ServiceProcess(folder / "var", postgres.url(), redis_url).start()
    name = service.register()
    accounts = open_accounts(postgres.url(), name, 2)
    deposit(service, accounts, 1_000)
    client = service.client(name)
    body = {"from_account_id": accounts[0], "to_account_id": accounts[1], "amount": 1, "currency": "USD"}
    assert client.post("/v1/transfers", json=body).status_code == 201
    postgres.kill()
    down = client.post("/v1/transfers", json=body)
    assert (down.status_code, down.json()["code"]) == (503, "unavailable")
    assert down.headers["Retry-After"]
    assert httpx.get(f"{service.http}/readyz", timeout=10).status_code == 503
    postgres.start()
    deadline = time.monotonic() + 20
    while client.post("/v1/transfers", json=body).status_code != 201:
        assert time.monotonic() < deadline
    assert_clean(service)
    assert service.stop() == 0
    postgres.stop()
