"""Batches and streams of transfers, as grpcio's client sees them."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc
import psycopg
import pytest

from proto.transactions.v2 import ledger_pb2 as pb
from tests.support.ledger_calls import LedgerCalls, order, statistic
from tests.support.service import ServiceProcess, open_accounts

FUNDS = 10_000


class Alice:
    """A customer with some accounts."""

    def __init__(self, service: ServiceProcess, channel: grpc.Channel, accounts: int = 4) -> None:
        self.service = service
        self.name = service.register()
        self.accounts = open_accounts(service.database_url, self.name, accounts, overdraft=FUNDS)
        self.token = service.login(self.name)
        self.calls = LedgerCalls(channel, self.token)

    def balances(self) -> list[int]:
        with psycopg.connect(self.service.database_url) as connection:
            rows = connection.execute(
                "select balance from accounts where id = any(%s) order by id", [self.accounts]
            )
            return [balance for (balance,) in rows]


@pytest.fixture(scope="module")
def channel(service: ServiceProcess):
    with grpc.insecure_channel(service.grpc) as channel:
        yield channel


@pytest.fixture
def alice(service: ServiceProcess, channel: grpc.Channel) -> Alice:
    return Alice(service, channel)


def codes(outcomes) -> list[str]:
    return [each.error.code or "ok" for each in outcomes]


def wait_until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_each_transfer_of_a_batch_has_its_own_outcome_in_its_place(alice: Alice):
    a, b, c, _ = alice.accounts
    answer = alice.calls.batch(
        [
            order(a, b, 10),
            order(a, a),
            order(b, c, FUNDS + 11),
            order(b, c, 10),
            order(a, 10**12),
            order(a, b, 0),
        ]
    )
    assert codes(answer.outcomes) == [
        "ok",
        "same_account",
        "insufficient_funds",
        "ok",
        "not_found",
        "invalid_argument",
    ]
    first = answer.outcomes[0]
    assert (first.from_seq, first.from_balance_after, first.replayed) == (1, -10, False)
    assert first.transfer_id > 0
    assert [each.field for each in answer.outcomes[-1].error.fields] == ["amount"]
    assert alice.balances() == [-10, 0, 10, 0]


def test_a_batch_is_decided_in_its_order(alice: Alice):
    a, b, *_ = alice.accounts
    answer = alice.calls.batch([order(a, b) for _ in range(1_000)])
    assert [each.from_balance_after for each in answer.outcomes] == [-n for n in range(1, 1_001)]


def test_nothing_of_an_atomic_batch_is_moved_unless_all_of_it_is(alice: Alice):
    a, b, c, _ = alice.accounts
    with pytest.raises(grpc.RpcError) as caught:
        alice.calls.batch([order(a, b, 10), order(b, c, 1), order(a, c, FUNDS)], atomic=True)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert dict(caught.value.trailing_metadata())["error-code"] == "insufficient_funds"
    assert caught.value.details().startswith("transfers[2]: ")
    assert alice.balances() == [0, 0, 0, 0]
    answer = alice.calls.batch([order(a, b, 10), order(b, c, 1), order(a, c, FUNDS - 10)], atomic=True)
    assert codes(answer.outcomes) == ["ok"] * 3
    assert alice.balances() == [-FUNDS, 9, FUNDS - 9, 0]


def test_every_bad_field_of_an_atomic_batch_is_named_at_once(alice: Alice):
    a, b, *_ = alice.accounts
    with pytest.raises(grpc.RpcError) as caught:
        alice.calls.batch([order(a, b), order(a, b, -1), order(0, b)], atomic=True)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    for place in ("transfers[1].amount", "transfers[2].from_account_id"):
        assert place in caught.value.details()


@pytest.mark.parametrize("number", [0, 1_001])
def test_a_batch_has_1_to_1000_transfers(alice: Alice, number: int):
    with pytest.raises(grpc.RpcError) as caught:
        alice.calls.batch([order(*alice.accounts[:2])] * number)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "transfers" in caught.value.details()


@pytest.mark.parametrize("atomic", [False, True])
def test_a_batch_with_a_key_moves_money_once(alice: Alice, atomic: bool):
    a, b, c, _ = alice.accounts
    orders = [order(a, b, 10), order(b, c, 4)]
    first = alice.calls.batch(orders, atomic=atomic, idempotency_key="rent")
    again = alice.calls.batch(orders, atomic=atomic, idempotency_key="rent")
    assert [each.transfer_id for each in again.outcomes] == [each.transfer_id for each in first.outcomes]
    assert [each.replayed for each in (*first.outcomes, *again.outcomes)] == [False, False, True, True]
    assert alice.balances() == [-10, 6, 4, 0]


def test_a_changed_transfer_of_a_batch_with_a_used_key_is_refused(alice: Alice):
    a, b, c, _ = alice.accounts
    alice.calls.batch([order(a, b, 10), order(b, c, 4)], idempotency_key="rent")
    answer = alice.calls.batch([order(a, b, 10), order(b, c, 5)], idempotency_key="rent")
    assert codes(answer.outcomes) == ["ok", "idempotency_key_reused"]
    assert alice.balances() == [-10, 6, 4, 0]


def test_a_refused_atomic_batch_is_refused_again_with_its_key(alice: Alice):
    a, b, c, _ = alice.accounts
    orders = [order(a, b, 10), order(b, c, FUNDS + 11)]
    for replayed in (False, True):
        with pytest.raises(grpc.RpcError) as caught:
            alice.calls.batch(orders, atomic=True, idempotency_key="rent")
        trailers = dict(caught.value.trailing_metadata())
        assert trailers["error-code"] == "insufficient_funds"
        assert ("idempotency-replayed" in trailers) is replayed
        alice.calls.batch([order(c, b, 100)])  # now there would be enough
    assert alice.balances() == [0, 200, -200, 0]


def test_a_transfers_own_key_is_good_in_any_call(alice: Alice):
    a, b, *_ = alice.accounts
    keyed = order(a, b, 10, idempotency_key="mine")
    (first,) = alice.calls.batch([keyed]).outcomes
    (second,) = alice.calls.batch([keyed], atomic=True, idempotency_key="other").outcomes
    (third,) = (
        each.outcome
        for each in alice.calls.stream(iter([pb.StreamTransfersRequest(reference="x", transfer=keyed)]))
    )
    body = {"from_account_id": a, "to_account_id": b, "amount": 10, "currency": "USD"}
    fourth = alice.service.client(alice.name).post(
        "/v1/transfers", json=body, headers={"Idempotency-Key": "mine"}
    )
    ids = [each.transfer_id for each in (first, second, third)]
    assert {*ids, fourth.json()["transfer"]["id"]} == {first.transfer_id}
    assert fourth.headers["Idempotency-Replayed"] == "true"
    assert alice.balances() == [-10, 10, 0, 0]


@pytest.mark.parametrize("key", ["", "x" * 251])
def test_a_batchs_key_leaves_room_for_its_transfers_own(alice: Alice, key: str):
    with pytest.raises(grpc.RpcError) as caught:
        alice.calls.batch([order(*alice.accounts[:2])], idempotency_key=key)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert alice.balances() == [0, 0, 0, 0]


@pytest.mark.parametrize("atomic", [False, True])
def test_a_batch_cancelled_midway_leaves_nothing_half_done(alice: Alice, atomic: bool):
    service, (a, b, *_) = alice.service, alice.accounts
    with psycopg.connect(service.database_url) as holder:
        holder.execute("select from accounts where id = %s for update", [a])
        call = alice.calls.begin_batch([order(a, b) for _ in range(1_000)], atomic=atomic)
        wait_until(lambda: statistic(service, "transactions_coordinator_in_flight") > 0)
        call.cancel()
        wait_until(lambda: statistic(service, "transactions_grpc_calls") == 0)
        assert statistic(service, "transactions_coordinator_waiting") == 0
        in_flight = statistic(service, "transactions_coordinator_in_flight")
    wait_until(lambda: statistic(service, "transactions_coordinator_in_flight") == 0)
    # What was in a commit already is carried out, and nothing of the rest.
    assert alice.balances()[0] == -in_flight
    assert in_flight == (1_000 if atomic else 512)
    assert service.audit().returncode == 0


def test_a_stream_answers_every_transfer_by_its_reference(alice: Alice):
    a, b, c, d = alice.accounts
    number = 5_000
    requests = (
        pb.StreamTransfersRequest(reference=str(n), transfer=order(*((a, b), (c, d))[n % 2]))
        for n in range(number)
    )
    answers = {each.reference: each.outcome for each in alice.calls.stream(requests)}
    assert len(answers) == number
    assert set(codes(answers.values())) == {"ok"}
    assert len({each.transfer_id for each in answers.values()}) == number
    assert alice.balances() == [-2_500, 2_500, -2_500, 2_500]


def test_what_is_wrong_with_one_transfer_of_a_stream_is_its_own_outcome(alice: Alice):
    a, b, *_ = alice.accounts
    orders = [order(a, b), order(a, a), order(a, b, -5), order(a, b, FUNDS), order(a, b)]
    requests = iter(
        [pb.StreamTransfersRequest(reference=str(n), transfer=each) for n, each in enumerate(orders)]
    )
    answers = {each.reference: each.outcome for each in alice.calls.stream(requests)}
    assert codes(answers[str(n)] for n in range(5)) == [
        "ok",
        "same_account",
        "invalid_argument",
        "insufficient_funds",
        "ok",
    ]


def test_a_cancelled_stream_leaves_nothing_behind(alice: Alice):
    service, (a, b, *_) = alice.service, alice.accounts
    with psycopg.connect(service.database_url) as holder:
        holder.execute("select from accounts where id = %s for update", [a])
        requests = (pb.StreamTransfersRequest(reference="", transfer=order(a, b)) for _ in range(100))
        call = alice.calls.stream(requests)
        wait_until(lambda: statistic(service, "transactions_coordinator_in_flight") > 0)
        call.cancel()
        wait_until(lambda: statistic(service, "transactions_grpc_calls") == 0)
        assert statistic(service, "transactions_coordinator_waiting") == 0
        in_flight = statistic(service, "transactions_coordinator_in_flight")
    wait_until(lambda: statistic(service, "transactions_coordinator_in_flight") == 0)
    assert alice.balances()[0] == -in_flight


def test_many_transfers_need_the_same_rights_as_one(service: ServiceProcess, channel: grpc.Channel):
    unproven = service.register(verified=False)
    accounts = open_accounts(service.database_url, unproven, 2, overdraft=10)
    calls = LedgerCalls(channel, service.login(unproven))
    requests = iter([pb.StreamTransfersRequest(transfer=order(*accounts))])
    for ask in (lambda: calls.batch([order(*accounts)]), lambda: next(calls.stream(requests))):
        with pytest.raises(grpc.RpcError) as caught:
            ask()
        assert dict(caught.value.trailing_metadata())["error-code"] == "email_not_verified"
