"""The API's description, without a service: complete, and true to itself."""

from __future__ import annotations

import re

import pytest
from google.api import annotations_pb2
from openapi_spec_validator import validate

from domain.policy import PUBLIC
from domain.policy import Operation as Asked
from proto.transactions.v2 import identity_pb2, ledger_pb2
from tests.attacks.test_policy_matrix import PAGES, Anything
from tests.support.openapi import DOCUMENT, OPERATIONS, content_of, problems
from transport.http.server import create_app

DESCRIBED_PAGES = {"healthz", "readyz"}
EXAMPLES = {name: each for name, each in OPERATIONS.items() if name not in DESCRIBED_PAGES}


def camel(name: str) -> str:
    return re.sub("_(.)", lambda match: match[1].upper(), name)


def routes_of_v1() -> set[tuple[str, str]]:
    return {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in create_app(Anything(), Anything()).url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.endpoint.startswith("v1.") and rule.endpoint.removeprefix("v1.") not in PAGES - DESCRIBED_PAGES
    }


def routes_of_v2() -> set[tuple[str, str]]:
    rules = [
        method.GetOptions().Extensions[annotations_pb2.http]
        for file in (identity_pb2, ledger_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    return {
        (kind.upper(), re.sub(r"\{(\w+)\}", lambda match: f"{{{camel(match[1])}}}", getattr(rule, kind)))
        for rule in rules
        for kind in [rule.WhichOneof("pattern")]
    }


def operation_asked(name: str) -> Asked:
    return Asked(re.sub(r"(?<!^)(?=[A-Z])", "_", name.partition("_")[2]).lower() if name[0].isupper() else name)


def test_the_document_is_openapi_3_1():
    assert DOCUMENT["openapi"].startswith("3.1")
    validate(DOCUMENT)


def test_every_route_is_described_and_nothing_else():
    described = {(operation.method, operation.path) for operation in OPERATIONS.values()}
    assert described == routes_of_v1() | routes_of_v2()


def test_every_operation_has_a_name_of_its_own_and_a_tag_that_is_described():
    methods = [operation for item in DOCUMENT["paths"].values() for operation in item]
    assert len(OPERATIONS) == len(methods)
    tags = [tag for operation in OPERATIONS.values() for tag in operation.described["tags"]]
    assert (
        set(tags) == {tag["name"] for tag in DOCUMENT["tags"]} == {"v1", "v2 Identity", "v2 Ledger", "probes"}
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_needs_no_login_says_so(name):
    assert (OPERATIONS[name].described.get("security") == []) == (operation_asked(name) in PUBLIC)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_request_is_a_good_one(name):
    operation = OPERATIONS[name]
    for parameter in operation.parameters.values():
        if "example" in parameter:
            assert problems(parameter["schema"], parameter["example"]) == []
        else:
            assert not parameter.get("required")
    if "requestBody" in operation.described:
        _, content = content_of(operation.described["requestBody"])
        assert problems(content["schema"], content["example"]) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_an_answer_is_a_good_one(name):
    status, answer = OPERATIONS[name].success
    if status == 204:
        assert "content" not in answer
    else:
        _, content = content_of(answer)
        assert problems(content["schema"], content["example"]) == []


def test_the_examples_of_failures_are_good_ones():
    responses = DOCUMENT["components"]["responses"]
    shown = {}
    for name, response in responses.items():
        _, content = content_of(response)
        if "example" in content:
            shown[name] = content["example"]
            assert problems(content["schema"], content["example"]) == []
    assert shown.keys() == {f"v2.{status}" for status in (400, 401, 403, 404, 409, 429, 503, 504)}
    assert shown["v2.400"]["details"][0]["fieldViolations"][0]["field"] == "amount"


def test_an_example_that_is_wrong_would_be_seen():
    _, content = content_of(OPERATIONS["Ledger_CreateTransfer"].described["requestBody"])
    for wrong in ({"amount": 0}, {"amount": "0"}, {"currency": "XXX"}, {"toAccountId": None}, {"memo": "x"}):
        assert problems(content["schema"], {**content["example"], **wrong})


def test_v2_says_what_the_files_say_of_a_field():
    schemas = DOCUMENT["components"]["schemas"]
    username = schemas["v2.CreateUserRequest"]["properties"]["username"]
    assert username["description"] == "3 to 32 of a-z, 0-9 and _. It is the user's for good."
    assert username["pattern"] == "^[a-z0-9_]{3,32}$"
    transfer = schemas["v2.CreateTransferRequest"]
    number, text = transfer["properties"]["amount"]["oneOf"]
    assert (number["type"], number["minimum"], number["maximum"]) == ("integer", 1, 2**53 - 1)
    assert text["type"] == "string"
    assert transfer["required"] == ["fromAccountId", "toAccountId", "amount", "currency"]
    assert schemas["v2.UpdateUserRequest"]["properties"].keys() == {"fullName", "email", "password"}
    assert schemas["v2.Account"]["properties"]["balance"]["readOnly"] is True
