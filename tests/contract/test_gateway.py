"""HTTP v2 end to end, as its clients see it: every RPC, strictness, streams line by line, and how they end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from proto.transactions.v2 import identity_pb2 as identity
from proto.transactions.v2 import ledger_pb2 as ledger
from tests.support.gateway import METHODS, GatewayCalls
from tests.support.ledger_calls import order, statistic
from tests.support.service import PASSWORD, ServiceProcess, open_accounts
from tests.support.wire import Wire

STREAMS, CALLS = "transactions_gateway_streams", "transactions_gateway_calls"


class Customer(GatewayCalls):
    """Somebody with two accounts."""

    def __init__(self, service: ServiceProcess, client: httpx.Client) -> None:
        self.service, self.name = service, service.register()
        self.token = service.login(self.name)
        self.accounts = open_accounts(service.database_url, self.name, 2, overdraft=10**6)
        super().__init__(client, self.token)

    def transfer(self, amount: int = 1) -> ledger.CreateTransferRequest:
        source, target = self.accounts
        return ledger.CreateTransferRequest(
            from_account_id=source, to_account_id=target, amount=amount, currency="USD"
        )

    def wire(self, head: str, *headers: str) -> Wire:
        return Wire(self.service.http_port, head, f"Authorization: Bearer {self.token}", *headers)


@pytest.fixture(scope="module")
def client(service: ServiceProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.http, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def banker(service: ServiceProcess, client: httpx.Client) -> GatewayCalls:
    return GatewayCalls(client, service.login(service.banker()))


@pytest.fixture
def alice(service: ServiceProcess, client: httpx.Client) -> Customer:
    return Customer(service, client)


def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def code(response: httpx.Response) -> tuple[int, str | None]:
    return response.status_code, response.headers.get("error-code")


def fields(response: httpx.Response) -> list[str]:
    assert code(response) == (400, "invalid_argument"), response.text
    return [each["field"] for detail in response.json()["details"] for each in detail["fieldViolations"]]


# Every RPC


def test_everything_can_be_done_through_the_gateway(service, client, banker):
    """From a registration to the last of the calls, each once; that none is missing is looked at in the end."""
    called: set[str] = set()

    def do(calls: GatewayCalls, message: Any) -> dict[str, Any]:
        called.add(type(message).__name__.removesuffix("Request"))
        response = calls.call(message)
        assert response.status_code == 200, response.text
        return response.json()

    anyone, name = GatewayCalls(client), f"gateway{time.monotonic_ns() % 10**9}"
    address = f"{name}@example.com"
    do(anyone, identity.CreateUserRequest(username=name, password=PASSWORD, full_name="G", email=address))
    do(anyone, identity.ResendVerificationRequest(email=address))
    params = httpx.URL(service.verification_link(address)).params
    verified = do(anyone, identity.VerifyEmailRequest(**dict(params)))
    assert verified == {"isVerified": True}
    do(anyone, identity.RequestPasswordResetRequest(email="nobody@example.com"))
    reset = identity.ConfirmPasswordResetRequest(reset_id=str(uuid4()), secret_code="x" * 32, password=PASSWORD)
    assert code(anyone.call(reset)) == (404, "not_found")
    called.add("ConfirmPasswordReset")

    login = do(anyone, identity.LoginUserRequest(username=name, password=PASSWORD))
    renewed = do(anyone, identity.RenewAccessRequest(refresh_token=login["refreshToken"]))
    calls = GatewayCalls(client, renewed["accessToken"])
    assert do(calls, identity.UpdateUserRequest(username=name, full_name="H"))["user"]["fullName"] == "H"
    assert do(calls, identity.GetUserRequest(username=name))["user"]["isEmailVerified"] is True
    other = do(anyone, identity.LoginUserRequest(username=name, password=PASSWORD))["sessionId"]
    assert len(do(calls, identity.ListSessionsRequest())["items"]) == 2
    do(calls, identity.RevokeSessionRequest(id=other))

    accounts = [
        do(calls, ledger.CreateAccountRequest(currency="USD", name=each))["account"] for each in ("a", "b")
    ]
    source, target = (int(each["id"]) for each in accounts)
    assert do(calls, ledger.ListAccountsRequest())["items"] == accounts
    assert do(banker, ledger.DepositRequest(account_id=source, amount=100))["account"]["balance"] == "100"
    assert do(banker, ledger.WithdrawRequest(account_id=source, amount=10))["account"]["balance"] == "90"
    request = ledger.CreateTransferRequest(
        from_account_id=source, to_account_id=target, amount=7, currency="USD"
    )
    made = do(calls, request)
    assert made["fromAccount"]["balance"] == made["fromEntry"]["balanceAfter"] == "83"
    assert do(calls, ledger.GetTransferRequest(id=int(made["transfer"]["id"])))["transfer"] == made["transfer"]
    assert do(calls, ledger.GetAccountRequest(id=target))["account"]["balance"] == "7"
    batch = ledger.BatchTransfersRequest(transfers=[order(source, target), order(source, target, 10**6)])
    first, second = do(calls, batch)["outcomes"]
    assert (first["fromBalanceAfter"], second["error"]["code"]) == ("82", "insufficient_funds")
    entries = do(calls, ledger.ListEntriesRequest(account_id=source, limit=2))
    assert [each["seq"] for each in entries["items"]] == ["4", "3"]

    called |= {"StreamTransfers", "WatchAccount"}
    with calls.lines(ledger.WatchAccountRequest(account_id=source, after_seq=2)) as (_, lines):
        assert [next(lines)["result"]["entry"]["seq"] for _ in range(2)] == ["3", "4"]
    stream = ledger.StreamTransfersRequest(reference="r", transfer=order(source, target))
    with calls.lines(stream) as (_, lines):
        answers = list(lines)
    assert [each["result"]["reference"] for each in answers] == ["r"]

    admin = GatewayCalls(client, _admin(service))
    granted = do(admin, identity.GrantRolesRequest(username=name, roles=["depositor", "auditor"]))
    assert granted["user"]["roles"] == ["auditor", "depositor"]
    assert do(admin, identity.ListSecurityEventsRequest(username=name, limit=1))["items"]
    do(GatewayCalls(client, service.login(name)), identity.LogoutUserRequest(everywhere=True))
    assert called == METHODS.keys()


def _admin(service: ServiceProcess) -> str:
    name = f"admin{time.monotonic_ns() % 10**9}"
    done = service.run("user", "create", name, "admin", stdin=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    return service.login(name)


# Requests


def test_both_styles_of_names_and_numbers_are_understood(alice, client):
    source, target = alice.accounts
    headers = {"Authorization": f"Bearer {alice.token}"}
    for body in (
        {"fromAccountId": str(source), "toAccountId": str(target), "amount": "1", "currency": "USD"},
        {"from_account_id": source, "to_account_id": target, "amount": 1.0, "currency": "USD"},
        {"fromAccountId": float(source), "to_account_id": str(target), "amount": "1e0", "currency": "USD"},
    ):
        response = client.post("/v2/transfers", json=body, headers=headers)
        assert response.status_code == 200, response.text
        assert response.json()["transfer"]["amount"] == "1"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        *(({"amount": wrong}, "amount") for wrong in (True, 1.5, "1.5", "x", [], 2**63, "0x1")),
        ({"currency": 840}, "currency"),
        ({"nothing": 1}, "nothing"),
        ({"from_account_id": 1}, "from_account_id"),
    ],
)
def test_what_would_lose_something_is_refused(alice, client, change, field):
    source, target = alice.accounts
    body = {"fromAccountId": source, "toAccountId": target, "amount": 1, "currency": "USD", **change}
    headers = {"Authorization": f"Bearer {alice.token}"}
    assert fields(client.post("/v2/transfers", json=body, headers=headers)) == [field]
    assert alice.call(ledger.ListEntriesRequest(account_id=source)).json()["items"] == []


@pytest.mark.parametrize(
    "text", ['{"amount": 1e309}', '{"amount": NaN}', '{"amount": 1, "amount": 1}', "{", "[]"]
)
def test_what_is_no_json_for_it_is_refused(alice, client, text):
    response = client.post("/v2/transfers", content=text, headers={"Authorization": f"Bearer {alice.token}"})
    assert code(response) == (400, "invalid_argument")


def test_the_path_and_the_query_are_as_strict(alice, client):
    headers = {"Authorization": f"Bearer {alice.token}"}
    source = alice.accounts[0]
    assert fields(client.get("/v2/accounts/x", headers=headers)) == ["id"]
    assert fields(client.get("/v2/accounts/1.5", headers=headers)) == ["id"]
    assert fields(client.get(f"/v2/accounts/{source}?id=1", headers=headers)) == ["id"]
    assert fields(client.get("/v2/accounts?limit=x", headers=headers)) == ["limit"]
    assert fields(client.get("/v2/accounts?limit=1&limit=1", headers=headers)) == ["limit"]
    assert fields(client.get("/v2/accounts?colour=red", headers=headers)) == ["colour"]
    assert code(client.post("/v2/users:logout?everywhere=true", headers=headers)) == (400, "invalid_argument")
    assert code(client.get("/v2/users/%zz", headers=headers)) == (400, "invalid_argument")
    assert code(client.request("GET", "/v2/accounts", headers=headers, content=b"{}")) == (
        400,
        "invalid_argument",
    )


def test_a_body_may_be_four_times_as_large_as_over_v1_and_not_larger(alice):
    large = ledger.BatchTransfersRequest(transfers=[order(*alice.accounts, idempotency_key="k" * 200)] * 800)
    response = alice.call(large)
    assert response.status_code == 200
    assert len(response.json()["outcomes"]) == 800
    larger = ledger.BatchTransfersRequest(transfers=[order(*alice.accounts, idempotency_key="k" * 255)] * 1_000)
    assert code(alice.call(larger)) == (413, "invalid_argument")


def test_types_paths_and_methods_are_told_apart(client):
    form = client.post("/v2/users:login", data={"username": "x"})
    assert code(form) == (415, "invalid_argument")
    assert code(client.get("/v2/nothing")) == (404, "not_found")
    wrong = client.put("/v2/users/alice")
    assert (code(wrong), wrong.headers["allow"]) == ((405, "invalid_argument"), "GET, HEAD, OPTIONS, PATCH")
    assert client.get("/v2/accounts/1:deposit").headers["allow"] == "OPTIONS, POST"
    asked = client.options("/v2/users/alice/roles")
    assert (asked.status_code, asked.headers["allow"]) == (204, "OPTIONS, PUT")


def test_head_has_the_headers_of_get_and_nothing_else(alice, client):
    path, headers = f"/v2/users/{alice.name}", {"Authorization": f"Bearer {alice.token}"}
    got, headed = client.get(path, headers=headers), client.head(path, headers=headers)
    assert (headed.status_code, headed.content) == (200, b"")
    assert headed.headers["content-length"] == got.headers["content-length"] == str(len(got.content))


# Headers


def test_a_request_id_comes_back_and_is_made_up_where_there_is_none(alice):
    request = ledger.ListAccountsRequest()
    assert alice.call(request, {"X-Request-Id": "mine"}).headers["x-request-id"] == "mine"
    assert alice.call(request, {"X-Request-Id": "not mine"}).headers["x-request-id"] not in ("", "not mine")
    assert (
        alice.call(ledger.GetAccountRequest(id=-1), {"X-Request-Id": "mine"}).headers["x-request-id"] == "mine"
    )


def test_a_key_is_replayed_and_says_so(alice):
    key = {"Idempotency-Key": "once"}
    first, again = (alice.call(alice.transfer(), key) for _ in range(2))
    assert first.json() == again.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert code(alice.call(alice.transfer(2), key)) == (400, "idempotency_key_reused")
    refused = [alice.call(alice.transfer(10**9), {"Idempotency-Key": "no"}) for _ in range(2)]
    assert [code(each) for each in refused] == [(400, "insufficient_funds")] * 2
    assert refused[1].headers["idempotency-replayed"] == "true"


def test_two_credentials_are_as_good_as_none(alice, client):
    headers = [("Authorization", f"Bearer {alice.token}")] * 2
    response = client.get("/v2/accounts", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["code"] == 16


def test_a_timeout_of_the_clients_is_kept(alice):
    with psycopg.connect(alice.service.database_url) as foreign:
        foreign.execute("select from accounts where id = %s for update", [alice.accounts[0]])
        began = time.monotonic()
        response = alice.call(alice.transfer(), {"Grpc-Timeout": "300m"})
        assert code(response) == (504, "deadline_exceeded")
        assert time.monotonic() - began < 5


def test_calls_are_counted_by_operation_and_status(alice, client):
    alice.call(ledger.GetAccountRequest(id=10**15))
    line = 'transactions_answer_seconds_count{operation="get_account",status="5",transport="gateway"}'
    assert any(each.startswith(line) for each in client.get("/metrics").text.splitlines())


# Streams


def test_entries_come_line_by_line_as_they_are_made(alice):
    source = alice.accounts[0]
    alice.call(alice.transfer(5))
    with alice.wire(f"GET /v2/accounts/{source}:watch") as wire:
        status, headers = wire.head()
        assert status == 200
        assert headers["content-type"] == "application/x-ndjson"
        assert headers["transfer-encoding"] == "chunked"
        assert headers["x-request-id"]
        lines = wire.lines()
        for seq in ("1", "2", "3"):
            entry = next(lines)["result"]["entry"]
            assert (entry["seq"], entry["accountId"]) == (seq, str(source))
            alice.call(alice.transfer())


def test_a_watch_that_has_nothing_to_say_says_that_it_is_there(alice):
    with alice.wire(f"GET /v2/accounts/{alice.accounts[0]}:watch?afterSeq=0") as wire:
        assert wire.head()[0] == 200
        alice.call(alice.transfer())
        assert json.loads(wire.chunk())["result"]["entry"]["seq"] == "1"


def test_what_can_not_be_watched_is_a_failure_as_a_whole(alice, service):
    others = open_accounts(service.database_url, service.register(verified=False), 1)[0]
    for path, told in (
        (f"{others}:watch", (404, "not_found")),
        (f"{alice.accounts[0]}:watch?after_seq=-1", (400, "invalid_argument")),
        ("x:watch", (400, "invalid_argument")),
    ):
        with alice.wire(f"GET /v2/accounts/{path}") as wire:
            status, headers = wire.head()
            assert (status, headers["error-code"]) == told
            assert headers["content-type"] == "application/json"


def test_a_session_that_ends_ends_its_streams_with_a_line(alice):
    alice.call(alice.transfer())
    with alice.wire(f"GET /v2/accounts/{alice.accounts[0]}:watch") as wire:
        wire.head()
        lines = wire.lines()
        assert "result" in next(lines)
        alice.call(identity.LogoutUserRequest())
        (last,) = lines
        assert (last["error"]["code"], last["error"]["message"]) == (16, "the session has ended")


def test_a_client_that_leaves_leaves_nothing_behind(alice, service):
    def streams() -> float:
        return statistic(service, STREAMS)

    before = streams()
    with alice.wire(f"GET /v2/accounts/{alice.accounts[0]}:watch") as wire:
        wire.head()
        assert streams() == before + 1
    until(lambda: streams() == before)


def test_a_client_that_leaves_cancels_what_is_not_in_a_batch_yet(alice, service):
    source, target = alice.accounts
    body = json.dumps({"fromAccountId": source, "toAccountId": target, "amount": 1, "currency": "USD"})

    def entries() -> int:
        return len(alice.call(ledger.ListEntriesRequest(account_id=source)).json()["items"])

    with psycopg.connect(service.database_url) as foreign:
        foreign.execute("select from accounts where id = %s for update", [source])
        for _ in range(2):  # the first is in a batch at once, the second waits behind it
            with alice.wire("POST /v2/transfers", f"Content-Length: {len(body)}") as wire:
                wire.connection.sendall(body.encode())
                until(lambda: statistic(service, CALLS) == 1)
                time.sleep(0.3)
            until(lambda: statistic(service, CALLS) == 0)
        assert entries() == 0
        foreign.rollback()
    until(lambda: entries() == 1)
    time.sleep(0.3)
    assert entries() == 1


def test_transfers_are_made_as_they_come(alice):
    source, target = alice.accounts
    with alice.wire("POST /v2/transfers:stream", "Transfer-Encoding: chunked") as wire:
        for number in range(3):
            transfer = {"fromAccountId": source, "toAccountId": target, "amount": 1, "currency": "USD"}
            line = json.dumps({"reference": f"r{number}", "transfer": transfer})
            wire.say(line[:20])
            wire.say(line[20:] + "\n")
            if number == 0:
                assert wire.head()[0] == 200
            answer = json.loads(wire.chunk())["result"]
            assert (answer["reference"], answer["outcome"]["fromSeq"]) == (f"r{number}", str(number + 1))
        wire.finish()
        assert wire.chunk() == b""


def test_thousands_of_transfers_go_through_one_request(alice):
    source, target = alice.accounts
    transfer = {"fromAccountId": source, "toAccountId": target, "amount": 1, "currency": "USD"}
    lines = "".join(json.dumps({"reference": str(n), "transfer": transfer}) + "\n" for n in range(3_000))
    with alice.wire("POST /v2/transfers:stream", "Transfer-Encoding: chunked") as wire:

        def send() -> None:
            for start in range(0, len(lines), 50_000):
                wire.say(lines[start : start + 50_000])
            wire.finish()

        sender = threading.Thread(target=send)
        sender.start()
        assert wire.head()[0] == 200
        answers = list(wire.lines())
        sender.join()
    assert {each["result"]["reference"] for each in answers} == {str(n) for n in range(3_000)}
    assert all("error" not in each["result"]["outcome"] for each in answers)


def test_a_message_that_is_none_ends_the_stream_after_the_others(alice):
    source, target = alice.accounts
    transfer = {"fromAccountId": source, "toAccountId": target, "amount": 1, "currency": "USD"}
    with alice.wire("POST /v2/transfers:stream", "Transfer-Encoding: chunked") as wire:
        wire.say(json.dumps({"reference": "good", "transfer": transfer}))
        wire.head()
        assert json.loads(wire.chunk())["result"]["reference"] == "good"
        wire.say('{"reference": "bad", "transfer": {"amount": 1.5}}')
        error = json.loads(wire.chunk())["error"]
        assert error["code"] == 3
        assert error["details"][0]["fieldViolations"][0]["field"] == "transfer.amount"
        assert wire.chunk() == b""


def test_a_client_that_does_not_read_its_stream_is_not_read_from(alice, service):
    """Its own sending comes to a halt, while others are served, and what waits for it stays bounded."""
    source, target = alice.accounts
    transfer = {"fromAccountId": source, "toAccountId": target, "amount": 1, "currency": "USD"}
    lines = (json.dumps({"reference": "r" * 200, "transfer": transfer}) + "\n") * 200
    with alice.wire("POST /v2/transfers:stream", "Transfer-Encoding: chunked") as deaf:
        deaf.connection.settimeout(3)
        before = statistic(service, "process_resident_memory_bytes")
        with pytest.raises(TimeoutError):
            for _ in range(2_000):
                deaf.say(lines)
        assert alice.call(alice.transfer()).status_code == 200
        assert statistic(service, "process_resident_memory_bytes") - before < 40 * 1024 * 1024
    until(lambda: statistic(service, STREAMS) == 0)
