"""The API's description, as tests read it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator

from tests.attacks.test_policy_matrix import Anything
from transport.docs.openapi import description
from transport.http.routes import endpoints

CURRENCIES = ("USD", "EUR", "CAD")


class Operation(NamedTuple):
    """One of the document's operations."""

    method: str
    path: str
    described: dict[str, Any]

    @property
    def id(self) -> str:
        return self.described["operationId"]

    @property
    def success(self) -> tuple[int, dict[str, Any]]:
        """The status of its success, and what is said of its answer."""
        (status,) = (status for status in self.described["responses"] if status.startswith("2"))
        return int(status), self.described["responses"][status]

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in self.described.get("parameters", [])}


def described() -> bytes:
    """The description of a service with the usual currencies, without a service."""
    return description(endpoints(Anything(), Anything(), Anything()).described, CURRENCIES)


def operations(document: dict[str, Any]) -> list[Operation]:
    return [
        Operation(method.upper(), path, described)
        for path, item in document["paths"].items()
        for method, described in item.items()
    ]


DOCUMENT = json.loads(described())
OPERATIONS = {operation.id: operation for operation in operations(DOCUMENT)}


def content_of(described: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The one media type of a body, and what is said of it."""
    ((media_type, content),) = described["content"].items()
    return media_type, content


def problems(schema: dict[str, Any], value: Any) -> list[str]:
    """How a value differs from one of the document's schemas."""
    whole = {**schema, "components": DOCUMENT["components"]}
    checker = Draft202012Validator.FORMAT_CHECKER
    return [str(error) for error in Draft202012Validator(whole, format_checker=checker).iter_errors(value)]
