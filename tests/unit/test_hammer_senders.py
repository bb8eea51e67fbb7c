"""What is sent is what the protocol's own classes read, and answers are what the contract says."""

from __future__ import annotations

import pytest

from cli.hammer.senders import encode_transfer, grpc_answer, http_answer
from cli.hammer.tally import Answer
from proto.transactions.v2.ledger_pb2 import CreateTransferRequest


@pytest.mark.parametrize("number", [1, 127, 128, 300, 2**31, 2**63 - 1])
def test_encoded_transfer_is_read_by_the_generated_class(number):
    message = CreateTransferRequest.FromString(encode_transfer(number, 2, number, "USD"))
    assert (message.from_account_id, message.to_account_id) == (number, 2)
    assert (message.amount, message.currency) == (number, "USD")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (422, b'{"code": "insufficient_funds"}', Answer("insufficient_funds", False, 3)),
        (429, b'{"code": "overloaded"}', Answer("overloaded", False, 3)),
        (503, b'{"code": "shutting_down"}', Answer("shutting_down", True, 3)),
        (500, b'{"code": "internal"}', Answer("internal", True, 3)),
        (404, b"<html>", Answer("HTTP 404", True, 3)),
        (200, b"[]", Answer("HTTP 200", True, 3)),
    ],
)
def test_http_answer_is_lost_where_the_service_failed(status, body, expected):
    assert http_answer(status, body, 3) == expected


@pytest.mark.parametrize(
    ("trailers", "expected"),
    [
        ({"grpc-status": "9", "error-code": "account_frozen"}, Answer("account_frozen")),
        ({"grpc-status": "8", "error-code": "overloaded"}, Answer("overloaded")),
        ({"grpc-status": "14", "error-code": "shutting_down"}, Answer("shutting_down", True)),
        ({"grpc-status": "16"}, Answer("gRPC status 16", True)),
    ],
)
def test_grpc_answer_is_lost_where_the_service_failed(trailers, expected):
    assert grpc_answer(trailers) == expected
