"""Shutdown drills: what was begun is finished and answered, and nobody can hold up the end."""

from __future__ import annotations

import signal
import socket
import threading
import time

import grpc
import httpx
import psycopg
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from proto.transactions.v2 import ledger_pb2
from proto.transactions.v2.ledger_pb2 import StreamTransfersRequest
from tests.faults.test_transfers_under_fire import deposit, post_all
from tests.support.ledger_calls import LedgerCalls, order, statistic
from tests.support.service import ServiceProcess, open_accounts
from tests.support.wire import Wire


@pytest.fixture
def drained(database_url, redis_url, tmp_path):
    """A service for the test to end."""
    service = ServiceProcess(tmp_path, database_url, redis_url, SHUTDOWN_GRACE="8s").start()
    yield service
    if service.process.poll() is None:
        service.kill()


def funded_pair(service: ServiceProcess, name: str) -> list[int]:
    accounts = open_accounts(service.database_url, name, 2)
    deposit(service, accounts, 1_000)
    return accounts


def transfer_body(accounts: list[int]) -> dict[str, object]:
    return {"from_account_id": accounts[0], "to_account_id": accounts[1], "amount": 1, "currency": "USD"}


def until(condition, timeout_s: float = 5) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_is_in_flight_is_answered_and_readyz_turns_at_once(drained):
    name = drained.register()
    accounts = funded_pair(drained, name)
    token = drained.login(name)
    answers: list[object] = []
    headers = {"Authorization": f"Bearer {token}"}

    def over_http() -> None:
        answers.append(
            httpx.post(
                f"{drained.http}/v1/transfers", json=transfer_body(accounts), headers=headers, timeout=10
            )
        )

    def over_grpc() -> None:
        with grpc.insecure_channel(drained.grpc) as channel:
            stub = channel.unary_unary(
                "/transactions.v2.Ledger/CreateTransfer",
                request_serializer=ledger_pb2.CreateTransferRequest.SerializeToString,
                response_deserializer=ledger_pb2.CreateTransferResponse.FromString,
            )
            request = ledger_pb2.CreateTransferRequest(**transfer_body(accounts))
            answers.append(stub(request, metadata=[("authorization", f"Bearer {token}")], timeout=10))

    with psycopg.connect(drained.database_url) as foreign:
        foreign.execute("select from accounts where id = %s for update", [accounts[0]])
        threads = [threading.Thread(target=over_http), threading.Thread(target=over_grpc)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        drained.signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{drained.http}/readyz").status_code == 503)
        assert httpx.get(f"{drained.http}/readyz").json()["code"] == "shutting_down"
        time.sleep(0.7)  # past the moment in which listeners stay
        assert drained.process.poll() is None
        foreign.rollback()
        for thread in threads:
            thread.join()
    http_answer = next(each for each in answers if isinstance(each, httpx.Response))
    grpc_answer = next(each for each in answers if not isinstance(each, httpx.Response))
    assert http_answer.status_code == 201
    assert grpc_answer.transfer.amount == 1
    assert drained.wait() == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{drained.http}/healthz")
    with psycopg.connect(drained.database_url) as connection:
        ids = {row[0] for row in connection.execute("select id from transfers where amount = 1")}
    assert ids == {http_answer.json()["transfer"]["id"], grpc_answer.transfer.id}


def test_an_idle_service_ends_quickly_on_ctrl_c(drained):
    began = time.monotonic()
    drained.signal(signal.SIGINT)
    assert drained.wait() == 0
    assert time.monotonic() - began < 6
    assert "draining\nstopped" in drained.log.read_text()


def test_a_second_signal_ends_it_at_once(drained):
    name = drained.register()
    accounts = funded_pair(drained, name)
    client = drained.client(name)
    with psycopg.connect(drained.database_url) as foreign:
        foreign.execute("select from accounts where id = %s for update", [accounts[0]])
        thread = threading.Thread(target=_ignore_errors, args=(client, accounts))
        thread.start()
        time.sleep(0.2)
        drained.signal(signal.SIGTERM)
        time.sleep(0.3)
        drained.signal(signal.SIGTERM)
        assert drained.process.wait(5) == 128 + signal.SIGTERM  # it would have waited for the lock
        thread.join()
    drained.wait()


def _ignore_errors(client: httpx.Client, accounts: list[int]) -> None:
    try:
        client.post("/v1/transfers", json=transfer_body(accounts))
    except httpx.TransportError:
        return


def test_a_client_that_stopped_reading_cannot_hold_it_up(drained):
    name = drained.register()
    accounts = funded_pair(drained, name)
    token = drained.login(name)
    outcomes = post_all(drained.http, token, [(*accounts, 1)] * 120)
    assert outcomes == {"ok": 120}
    request = (
        f"GET /v1/accounts/{accounts[0]}/entries?limit=100 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", drained.http_port))
        deaf.settimeout(0.5)
        try:
            for _ in range(3_000):  # far more than the socket buffers of both sides hold
                deaf.sendall(request)
        except TimeoutError:
            pass
        else:
            time.sleep(1)
        drained.signal(signal.SIGTERM)
        assert drained.wait() == 0, drained.log.read_text()  # 1 when it was not within the grace


def test_a_grpc_client_that_stopped_reading_cannot_hold_it_up(drained):
    with socket.socket() as deaf:
        deaf.connect(("127.0.0.1", drained.grpc_port))
        deaf.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04\x00" + bytes(4))
        time.sleep(0.1)
        drained.signal(signal.SIGTERM)
        assert drained.wait() == 0, drained.log.read_text()  # 1 when it was not within the grace


def test_calls_without_an_end_of_their_own_come_to_one(drained):
    name = drained.register()
    accounts = funded_pair(drained, name)
    with grpc.insecure_channel(drained.grpc) as channel:
        calls = LedgerCalls(channel, drained.login(name))
        watch, health = calls.watch(accounts[0]), HealthStub(channel).Watch(HealthCheckRequest())
        assert next(watch).entry.seq == 1
        assert next(health).status == HealthCheckResponse.SERVING
        waiting, said = threading.Event(), []

        def requests():
            yield StreamTransfersRequest(reference="one", transfer=order(*accounts))
            waiting.wait(20)

        stream = calls.stream(requests())
        assert next(stream).reference == "one"
        began = time.monotonic()
        drained.signal(signal.SIGTERM)
        assert next(health).status == HealthCheckResponse.NOT_SERVING
        for call in (watch, stream):
            with pytest.raises(grpc.RpcError) as caught:
                list(call)
            said.append((caught.value.code(), dict(caught.value.trailing_metadata())["error-code"]))
        assert drained.wait() == 0, drained.log.read_text()
        assert time.monotonic() - began < 6  # far less than the grace
        waiting.set()
    assert said == [(grpc.StatusCode.UNAVAILABLE, "shutting_down")] * 2


def test_a_stream_is_drained_to_its_last_outcome(drained):
    name = drained.register()
    accounts = funded_pair(drained, name)
    with (
        psycopg.connect(drained.database_url) as foreign,
        grpc.insecure_channel(drained.grpc) as channel,
    ):
        foreign.execute("select from accounts where id = %s for update", [accounts[0]])
        before = statistic(drained, "transactions_coordinator_received")
        requests = [StreamTransfersRequest(reference=str(n), transfer=order(*accounts)) for n in range(50)]
        stream = LedgerCalls(channel, drained.login(name)).stream(iter(requests))
        until(lambda: statistic(drained, "transactions_coordinator_received") == before + 50)
        drained.signal(signal.SIGTERM)
        time.sleep(1)
        foreign.rollback()
        references = set()
        with pytest.raises(grpc.RpcError) as caught:
            for answer in stream:
                references.add(answer.reference)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert references == {str(n) for n in range(50)}
    assert drained.wait() == 0, drained.log.read_text()


def test_streams_of_the_gateway_end_with_a_last_line(drained):
    name = drained.register()
    accounts = funded_pair(drained, name)
    credentials = f"Authorization: Bearer {drained.login(name)}"
    watch = Wire(drained.http_port, f"GET /v2/accounts/{accounts[0]}:watch", credentials)
    stream = Wire(drained.http_port, "POST /v2/transfers:stream", credentials, "Transfer-Encoding: chunked")
    with watch, stream:
        stream.say('{"reference": "one", "transfer": {}}')
        for wire in (watch, stream):
            assert wire.head()[0] == 200
            assert "result" in next(wire.lines())
        began = time.monotonic()
        drained.signal(signal.SIGTERM)
        for wire in (watch, stream):
            (last,) = wire.lines()  # the chunk that ends it has come too
            assert (last["error"]["code"], last["error"]["message"]) == (14, "shutting down")
        assert drained.wait() == 0, drained.log.read_text()
        assert time.monotonic() - began < 6  # far less than the grace
