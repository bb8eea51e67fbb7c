"""The pipeline and its interceptors, without a connection."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
import trio

from domain.errors import InvalidArgument, Overloaded, PermissionDenied, Unauthenticated
from domain.policy import Operation, Principal, scopes
from proto.transactions.v2 import ledger_pb2
from transport.grpc.call import Call
from transport.grpc.interceptors import (
    REQUEST_ID,
    Authentication,
    Deadlines,
    Log,
    Meter,
    RequestIds,
    Validation,
)
from transport.grpc.methods import Method
from transport.grpc.pipeline import Interceptor, Pipeline
from transport.grpc.status import RpcFailed

ENDS = datetime(2026, 1, 1, tzinfo=UTC)


class Incoming:
    """Messages that are all there."""

    def __init__(self, *messages: object) -> None:
        self._messages = list(messages)

    def receive_nowait(self) -> object:
        if not self._messages:
            raise trio.EndOfChannel
        return self._messages.pop(0)


class Recorder(Interceptor):
    """Writes down what happens, and refuses on demand."""

    def __init__(self, name: str, log: list[str], refuses: object = None) -> None:
        self.name, self.log, self.refuses = name, log, refuses

    def begin(self, call: Call) -> None:
        self.log.append(f"{self.name} begin")

    def received(self, call: Call, message: object) -> None:
        self.log.append(f"{self.name} {message}")
        if message == self.refuses:
            raise Overloaded("no")

    def ended(self, call: Call, failure: Exception | None) -> None:
        self.log.append(f"{self.name} ended {failure}")


def call(
    handler=None,
    *headers: tuple[bytes, bytes],
    operation: Operation | None = Operation.GET_ACCOUNT,
    client_streaming: bool = False,
    server_streaming: bool = False,
) -> Call:
    return Call(
        Method(b"/x/Y", handler, None, client_streaming, server_streaming, operation), list(headers), "1.2.3.4"
    )


async def test_interceptors_nest_around_a_call():
    log: list[str] = []
    pipeline = Pipeline([Recorder("outer", log), Recorder("inner", log)])

    async def handler(message, request):
        log.append("handled")
        return message.upper()

    made = call(handler)
    pipeline.begin(made)
    assert await pipeline.unary(made, "m") == "M"
    pipeline.ended(made, None)
    assert log == [
        *("outer begin", "inner begin", "outer m", "inner m", "handled"),
        *("inner ended None", "outer ended None"),
    ]


async def test_a_message_that_is_refused_does_not_reach_the_handler():
    log: list[str] = []
    pipeline = Pipeline([Recorder("guard", log, refuses="bad")])

    async def handler(messages, request) -> AsyncIterator[str]:
        async for message in messages:
            log.append(f"handled {message}")
            yield message

    with pytest.raises(Overloaded):
        await pipeline.unary(call(handler), "bad")
    made = call(handler, client_streaming=True, server_streaming=True)
    answers = pipeline.streaming(made, Incoming("good", "bad", "later"))
    assert await anext(answers) == "good"
    with pytest.raises(Overloaded):
        await anext(answers)
    assert log == ["guard bad", "guard good", "handled good", "guard bad"]


async def test_every_shape_of_stream_is_given_what_it_takes():
    async def sum_of(messages, request):
        return sum([message async for message in messages])

    async def count_to(message, request):
        for number in range(message):
            yield number

    pipeline = Pipeline()
    up = pipeline.streaming(call(sum_of, client_streaming=True), Incoming(1, 2, 3))
    down = pipeline.streaming(call(count_to, server_streaming=True), Incoming(3))
    none = pipeline.streaming(call(count_to, server_streaming=True), Incoming())
    assert [each async for each in up] == [6]
    assert [each async for each in down] == [0, 1, 2]
    with pytest.raises(RpcFailed, match="exactly one message"):
        _ = [each async for each in none]


@pytest.mark.parametrize("sent", [b"", b"x" * 65, b"two words", b"line\nbreak", "é".encode()])
async def test_a_request_id_is_the_clients_own_only_where_it_is_harmless(sent):
    mine, theirs = call(None, (REQUEST_ID, b"Order-66")), call(None, (REQUEST_ID, sent))
    for each in (mine, theirs):
        RequestIds().begin(each)
    assert (mine.request_id, mine.trailers) == ("Order-66", [(REQUEST_ID, b"Order-66")])
    assert theirs.request_id != sent.decode()
    assert not theirs.trailers


async def test_only_calls_of_one_message_have_a_deadline_that_they_did_not_ask_for():
    plain, asked, stream = (
        call(),
        call(None, (b"grpc-timeout", b"500m")),
        call(server_streaming=True),
    )
    for each in (plain, asked, stream):
        Deadlines(10).begin(each)
    assert plain.deadline == plain.began_at + 10
    assert asked.deadline == pytest.approx(asked.began_at + 0.5)
    assert stream.deadline == math.inf


class Authenticator:
    """Knows one token."""

    def principal(self, authorization) -> Principal:
        if authorization != ["Bearer good"]:
            raise Unauthenticated("no")
        return Principal("alice", scopes(("depositor",)), UUID(int=1), ENDS)


async def test_what_is_not_public_needs_a_bearer_whose_roles_allow_it():
    authentication = Authentication(Authenticator())
    good = (b"authorization", b"Bearer good")
    own, forbidden = call(None, good), call(None, good, operation=Operation.DEPOSIT)
    authentication.begin(own)
    assert own.principal.username == "alice"
    with pytest.raises(PermissionDenied):
        authentication.begin(forbidden)
    for headers in ([], [good, good], [(b"authorization", b"Bearer bad")]):
        with pytest.raises(Unauthenticated):
            authentication.begin(call(None, *headers))
    for operation in (Operation.LOGIN_USER, None):
        authentication.begin(call(None, operation=operation))


async def test_a_call_is_measured_and_logged_with_its_status(caplog):
    answered: list[tuple] = []

    class Metrics:
        def answered(self, *what) -> None:
            answered.append(what[:3])

    made = call()
    made.request_id = "Order-66"
    with caplog.at_level(logging.INFO, logger="transport.grpc.interceptors"):
        for interceptor in (Meter(Metrics()), Log()):
            interceptor.ended(made, Overloaded("full"))
    assert answered == [("grpc", Operation.GET_ACCOUNT, 8)]
    assert "Order-66 /x/Y: status 8 in" in caplog.text


async def test_a_message_that_breaks_a_rule_is_refused_with_all_that_is_wrong():
    method = Method(b"/x/Y", None, ledger_pb2.CreateTransferRequest, False, False, Operation.CREATE_TRANSFER)
    validation = Validation([method], ["USD"])
    good = {"from_account_id": 1, "to_account_id": 2, "amount": 3, "currency": "USD"}
    validation.received(call(), ledger_pb2.CreateTransferRequest(**good))
    validation.received(call(), ledger_pb2.GetTransferRequest())  # has no rules
    with pytest.raises(InvalidArgument) as caught:
        validation.received(
            call(), ledger_pb2.CreateTransferRequest(**{**good, "amount": 0, "currency": "GBP"})
        )
    assert [each.field for each in caught.value.fields] == ["amount", "currency"]
