"""The main job, end to end, as grpcio's client sees it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import grpc
import httpx
import psycopg
import pytest
from google.rpc import error_details_pb2, status_pb2

from proto.transactions.v2 import identity_pb2, ledger_pb2
from tests.support.service import PASSWORD, ServiceProcess


class Client:
    """Calls by name, with a token."""

    def __init__(self, channel: grpc.Channel, token: str | None = None) -> None:
        self.channel = channel
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def call(self, service: str, method: str, request, response_type, *extra, timeout: float = 10):
        stub = self.channel.unary_unary(
            f"/transactions.v2.{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response_type.FromString,
        )
        return stub.with_call(request, metadata=(*self.metadata, *extra), timeout=timeout)

    def ledger(self, method: str, *extra, **fields):
        request = getattr(ledger_pb2, f"{method}Request")(**fields)
        return self.call("Ledger", method, request, getattr(ledger_pb2, f"{method}Response"), *extra)[0]

    def fails(self, method: str, *extra, **fields) -> grpc.RpcError:
        with pytest.raises(grpc.RpcError) as caught:
            self.ledger(method, *extra, **fields)
        return caught.value


@pytest.fixture(scope="module")
def channel(service: ServiceProcess):
    with grpc.insecure_channel(service.grpc) as channel:
        yield channel


@pytest.fixture(scope="module")
def banker(service, channel) -> Client:
    return Client(channel, service.login(service.banker()))


@pytest.fixture
def alice(service, channel) -> Client:
    return Client(channel, service.login(service.register()))


def trailers(error: grpc.RpcError) -> dict[str, str]:
    return dict(error.trailing_metadata())


def funded(client: Client, banker: Client, amount: int = 1000) -> int:
    account = client.ledger("CreateAccount", currency="USD").account
    deposited = banker.ledger("Deposit", account_id=account.id, amount=amount)
    assert deposited.account.balance == amount
    return account.id


def test_a_user_registers_logs_in_and_moves_money(service, channel, banker):
    anyone = Client(channel)
    name = f"grpc{time.monotonic_ns() % 10**9}"
    created, _ = anyone.call(
        "Identity",
        "CreateUser",
        identity_pb2.CreateUserRequest(
            username=name, password=PASSWORD, full_name="G", email=f"{name}@example.com"
        ),
        identity_pb2.CreateUserResponse,
    )
    assert created.user.username == name
    assert list(created.user.roles) == ["depositor"]
    httpx.get(service.verification_link(f"{name}@example.com"))
    login, _ = anyone.call(
        "Identity",
        "LoginUser",
        identity_pb2.LoginUserRequest(username=name, password=PASSWORD),
        identity_pb2.LoginUserResponse,
    )
    assert login.user.is_email_verified
    assert login.access_token_expires_at.seconds > time.time()
    client = Client(channel, login.access_token)
    source, target = funded(client, banker), funded(client, banker)
    made = client.ledger(
        "CreateTransfer", from_account_id=source, to_account_id=target, amount=250, currency="USD"
    )
    assert made.from_account.balance == made.from_entry.balance_after == 750
    assert client.ledger("GetTransfer", id=made.transfer.id).transfer == made.transfer
    assert client.ledger("GetAccount", id=target).account.balance == 1250


def test_a_refusal_carries_its_code(alice, banker):
    source, target = funded(alice, banker), funded(alice, banker)
    error = alice.fails(
        "CreateTransfer", from_account_id=source, to_account_id=target, amount=1001, currency="USD"
    )
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert trailers(error)["error-code"] == "insufficient_funds"


def test_bad_fields_are_named_in_the_status_details(alice):
    error = alice.fails("CreateTransfer", from_account_id=-1, to_account_id=2, amount=0, currency="USD")
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    status = status_pb2.Status.FromString(trailers(error)["grpc-status-details-bin"])
    bad_request = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad_request)
    assert [each.field for each in bad_request.field_violations] == ["from_account_id", "amount"]


def test_a_key_is_replayed_over_grpc_and_http_alike(service, alice, banker):
    source, target = funded(alice, banker), funded(alice, banker)
    fields = {"from_account_id": source, "to_account_id": target, "amount": 10, "currency": "USD"}
    key = ("idempotency-key", "shared")
    first = alice.ledger("CreateTransfer", key, **fields)
    request = ledger_pb2.CreateTransferRequest(**fields)
    again, call = alice.call("Ledger", "CreateTransfer", request, ledger_pb2.CreateTransferResponse, key)
    assert again == first
    assert dict(call.trailing_metadata())["idempotency-replayed"] == "true"
    headers = {"Authorization": alice.metadata[0][1], "Idempotency-Key": "shared"}
    over_http = httpx.post(f"{service.http}/v1/transfers", json=fields, headers=headers)
    assert over_http.headers["Idempotency-Replayed"] == "true"
    assert over_http.json()["transfer"]["id"] == first.transfer.id


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ((), "unauthenticated"),
        ((("authorization", "Bearer nonsense"),), "invalid_token"),
    ],
)
def test_no_or_bad_credentials_are_unauthenticated(channel, metadata, code):
    error = Client(channel).fails("GetAccount", *metadata, id=1)
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED
    assert trailers(error)["error-code"] == code


def test_what_is_not_ones_own_is_not_found(service, channel, alice, banker):
    source = funded(alice, banker)
    stranger = Client(channel, service.login(service.register()))
    for error in (stranger.fails("GetAccount", id=source), stranger.fails("GetAccount", id=10**12)):
        assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "account not found")


def test_a_deadline_is_kept_while_a_foreign_writer_holds_the_row(service, alice, banker):
    source, target = funded(alice, banker), funded(alice, banker)
    fields = {"from_account_id": source, "to_account_id": target, "amount": 1, "currency": "USD"}
    request = ledger_pb2.CreateTransferRequest(**fields)
    with psycopg.connect(service.database_url) as foreign:
        foreign.execute("select from accounts where id = %s for update", [source])
        with pytest.raises(grpc.RpcError) as caught:
            alice.call("Ledger", "CreateTransfer", request, ledger_pb2.CreateTransferResponse, timeout=0.3)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        other, elsewhere = funded(alice, banker), funded(alice, banker)
        alice.ledger("CreateTransfer", from_account_id=other, to_account_id=elsewhere, amount=1, currency="USD")
    # Work that had begun is never dropped: what nobody waited for any more was still carried out.
    assert alice.ledger("CreateTransfer", **fields).from_account.balance == 998


def test_unknown_methods_are_unimplemented(channel):
    stub = channel.unary_unary("/transactions.v2.Ledger/Steal")
    with pytest.raises(grpc.RpcError) as caught:
        stub(b"", timeout=5)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_many_calls_at_once_on_one_channel_all_answer(alice, banker):
    source, target = funded(alice, banker), funded(alice, banker)
    done = []

    fields = {"from_account_id": source, "to_account_id": target, "amount": 1, "currency": "USD"}

    def work() -> None:
        done.extend(alice.ledger("CreateTransfer", **fields) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 160
    assert alice.ledger("GetAccount", id=source).account.balance == 840


# grpcio's own health and reflection modules declare the same messages as ours, so they get processes of their own.

HEALTH = """
import grpc, sys
from grpc_health.v1 import health_pb2, health_pb2_grpc
stub = health_pb2_grpc.HealthStub(grpc.insecure_channel(sys.argv[1]))
for service in ("", "transactions.v2.Ledger", "transactions.v2.Identity"):
    print(stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status)
print(next(iter(stub.Watch(health_pb2.HealthCheckRequest(), timeout=5))).status)
try:
    stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=5)
except grpc.RpcError as error:
    print(error.code().name)
"""

REFLECTION = """
import grpc, sys
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
database = ProtoReflectionDescriptorDatabase(grpc.insecure_channel(sys.argv[1]))
print(sorted(database.get_services()))
pool = DescriptorPool(database)
service = pool.FindServiceByName("transactions.v2.Ledger")
print([method.name for method in service.methods])
print([field.name for field in pool.FindMessageTypeByName("transactions.v2.CreateTransferRequest").fields])
"""


def run_client(program: str, address: str) -> str:
    done = subprocess.run([sys.executable, "-c", program, address], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_grpcios_health_client_is_answered(service):
    assert run_client(HEALTH, service.grpc).split() == ["1", "1", "1", "1", "NOT_FOUND"]


def test_grpcios_reflection_client_finds_the_services(service):
    services, methods, fields = run_client(REFLECTION, service.grpc).splitlines()
    assert "transactions.v2.Ledger" in services
    assert "grpc.health.v1.Health" in services
    assert "CreateTransfer" in methods
    assert "from_account_id" in fields
