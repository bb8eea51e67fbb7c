"""How a call ends over HTTP, as grpc-gateway's runtime/errors.go has it."""

from __future__ import annotations

import json
import logging

import pytest

from domain.errors import (
    Code,
    FieldError,
    InvalidArgument,
    RateLimited,
    ServiceError,
    Unauthenticated,
)
from transport.errors import grpc_status
from transport.gateway.status import failed, http_status, last_line
from transport.grpc.status import RpcFailed


@pytest.mark.parametrize(
    ("number", "status"),
    [
        *((0, 200), (1, 499), (2, 500), (3, 400), (4, 504), (5, 404), (6, 409), (7, 403), (8, 429)),
        *((9, 400), (10, 409), (11, 400), (12, 501), (13, 500), (14, 503), (15, 500), (16, 401), (99, 500)),
    ],
)
def test_each_status_has_its_http_status(number, status):
    assert http_status(number) == status


@pytest.mark.parametrize("code", Code)
def test_each_code_of_the_contract_is_told_in_status_body_and_header(code):
    answer = failed(ServiceError(code, "why"))
    assert answer.status == http_status(grpc_status(code))
    assert json.loads(answer.body) == {"code": grpc_status(code), "message": "why", "details": []}
    assert (b"error-code", code.value.encode()) in answer.headers
    assert (b"content-type", b"application/json") in answer.headers
    assert ((b"www-authenticate", b"Bearer") in answer.headers) is (answer.status == 401)


def test_bad_fields_are_in_the_details():
    error = InvalidArgument("wrong", (FieldError("a.b", "must be x"), FieldError("c", "must be y")))
    [detail] = json.loads(failed(error).body)["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    said = [(each["field"], each["description"]) for each in detail["fieldViolations"]]
    assert said == [("a.b", "must be x"), ("c", "must be y")]


def test_when_to_try_again_is_in_the_details_and_a_header():
    answer = failed(RateLimited(retry_after_s=7))
    assert (b"retry-after", b"7") in answer.headers
    detail = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
    assert json.loads(answer.body)["details"] == [detail]


def test_a_status_of_grpc_alone_has_no_code_of_the_contract():
    answer = failed(RpcFailed(12, "not here"))
    assert answer.status == 501
    assert not [name for name, _ in answer.headers if name == b"error-code"]


def test_of_a_defect_nothing_is_told_but_a_request_id(caplog):
    caplog.set_level(logging.CRITICAL, "transport.grpc.status")
    answer = failed(KeyError("secret"), "id-7")
    assert answer.status == 500
    assert json.loads(answer.body)["message"] == "internal error, request id id-7"
    assert b"secret" not in answer.body
    assert (b"error-code", b"internal") in answer.headers


def test_an_error_after_the_beginning_is_a_line():
    line = last_line(Unauthenticated("the session has ended", Code.SESSION_REVOKED), "id-7")
    assert line.endswith(b"}\n")
    assert json.loads(line) == {"error": {"code": 16, "message": "the session has ended", "details": []}}
    assert line.count(b"\n") == 1
