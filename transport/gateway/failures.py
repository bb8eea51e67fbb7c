"""How the description says that a call failed: `google.rpc.Status`, and one example of each status."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

import msgspec

from domain import validation
from domain.errors import (
    AlreadyExists,
    Code,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServiceError,
    Unauthenticated,
    Unavailable,
)
from transport.docs.parts import Json, schema_ref
from transport.gateway.status import failed

STATUS = "google.rpc.Status"
STATUS_SCHEMA: Json = {
    "type": "object",
    "description": "Why a call failed; its stable code is in the header `Error-Code`.",
    "properties": {
        "code": {"type": "integer", "format": "int32", "description": "gRPC's number of the failure."},
        "message": {"type": "string", "description": "For people, in English."},
        "details": {
            "type": "array",
            "description": "`google.rpc.BadRequest` has the bad fields, `google.rpc.RetryInfo` when to come back.",
            "items": {"type": "object", "properties": {"@type": {"type": "string"}}, "required": ["@type"]},
        },
    },
    "required": ["code", "message", "details"],
}
SHOWN: list[ServiceError] = [
    InvalidArgument.field("amount", validation.amount(0) or ""),
    Unauthenticated("the token has expired", Code.TOKEN_EXPIRED),
    PermissionDenied("your roles do not allow this"),
    NotFound("account"),
    AlreadyExists("this username is taken"),
    RateLimited(retry_after_s=30),
    Unavailable("shutting down", Code.SHUTTING_DOWN),
    DeadlineExceeded(),
]
"""One of each status that a call itself ends with: what it is answered with is the example."""


def failures(statuses: Iterable[int]) -> dict[str, Json]:
    """The answers with these statuses, by the names that `failure_ref` refers to."""
    answers = map(failed, SHOWN)
    examples = {answer.status: {"example": msgspec.json.decode(answer.body)} for answer in answers}
    return {_name(status): _failure(status, examples.get(status, {})) for status in sorted(statuses)}


def failure_ref(status: int) -> Json:
    """A reference to the answer with this status."""
    return {"$ref": f"#/components/responses/{_name(status)}"}


def _name(status: int) -> str:
    return f"v2.{status}"


def _failure(status: int, example: Json) -> Json:
    headers: Json = {"Error-Code": {"schema": {"enum": [code.value for code in Code]}}}
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = {"description": "Seconds", "schema": {"type": "integer"}}
    return {
        "description": HTTPStatus(status).phrase,
        "headers": headers,
        "content": {"application/json": {"schema": schema_ref(STATUS), **example}},
    }
