"""The description of v1 (OpenAPI 3.1), made from what its routes say of themselves.

Bodies are described by the very types that decode and encode them; statuses follow from what a route is: public
or not, with a body or without, about something that may not be there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus

import msgspec

from application.ledger import PAGE_DEFAULT, PAGE_MAX
from domain.errors import Code, FieldError
from domain.policy import PUBLIC, Operation
from domain.validation import ID_MAX, USERNAME
from transport.docs.examples import EXAMPLES
from transport.docs.parts import REPLAYED, Json, Parts, idempotency_key, schema_ref
from transport.docs.statuses import refusals
from transport.errors import http_status
from transport.http import schemas
from transport.http.endpoint import Endpoint
from transport.paging import CURSOR

TAG = "v1"
PROBES = "probes"
REF = "#/components/schemas/{name}"
PROBLEM = "application/problem+json"

SUMMARIES = {
    Operation.CREATE_USER: "Register; a verification link is mailed",
    Operation.LOGIN_USER: "Open a session",
    Operation.RENEW_ACCESS: "Exchange the session's newest refresh token for a new pair of tokens",
    Operation.VERIFY_EMAIL: "Prove an address with the code from the mail",
    Operation.RESEND_VERIFICATION: "Mail another verification link, where one is wanting",
    Operation.REQUEST_PASSWORD_RESET: "Mail a link to choose a new password",
    Operation.CONFIRM_PASSWORD_RESET: "Choose a new password with the code from the mail",
    Operation.GET_USER: "Read a user",
    Operation.UPDATE_USER: "Change a user",
    Operation.LOGOUT_USER: "End the session, or every session of the user",
    Operation.LIST_SESSIONS: "List the caller's sessions, last used first",
    Operation.REVOKE_SESSION: "End one of the caller's sessions",
    Operation.LIST_SECURITY_EVENTS: "List what happened to users' identities, newest first",
    Operation.CREATE_ACCOUNT: "Open an account",
    Operation.GET_ACCOUNT: "Read an account",
    Operation.LIST_ACCOUNTS: "List the caller's accounts, or for staff one owner's or all, oldest first",
    Operation.LIST_ENTRIES: "List an account's entries, newest first",
    Operation.DEPOSIT: "Bring money in; bankers only",
    Operation.WITHDRAW: "Take money out; bankers only",
    Operation.CREATE_TRANSFER: "Move money out of an account of the caller's",
    Operation.GET_TRANSFER: "Read a transfer",
}

QUERY: dict[str, Json] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT},
    "cursor": {"type": "string", "description": "From the page before", "pattern": CURSOR},
    "username": {"type": "string", "pattern": USERNAME},
    "owner": {"type": "string", "pattern": USERNAME},
    "email_id": {"type": "string"},
    "secret_code": {"type": "string"},
}
PATH: dict[str, Json] = {
    "username": {"type": "string", "pattern": USERNAME},
    "session_id": {"type": "string", "format": "uuid"},
    "account_id": {"type": "integer", "minimum": 1, "maximum": ID_MAX},
    "transfer_id": {"type": "integer", "minimum": 1, "maximum": ID_MAX},
}


class Problem(msgspec.Struct):
    """RFC 9457, with a stable code."""

    type: str
    title: str
    status: int
    code: Code
    detail: str
    errors: list[FieldError] | msgspec.UnsetType = msgspec.UNSET
    request_id: str | msgspec.UnsetType = msgspec.UNSET


def describe(endpoints: Iterable[Endpoint], currencies: Iterable[str]) -> Parts:
    """What these routes serve, for a service with these currencies."""
    described = sorted(endpoints, key=lambda each: (each.path, each.method))
    paths: dict[str, Json] = {}
    for each in described:
        paths.setdefault(_template(each.path), {})[each.method.lower()] = _operation(each)
    for probe, statuses in (("/healthz", (200,)), ("/readyz", (200, 503))):
        responses = {str(status): _answer(status, schemas.Status) for status in statuses}
        paths[probe] = {
            "get": {"operationId": probe[1:], "tags": [PROBES], "security": [], "responses": responses}
        }
    types = dict.fromkeys(kind for each in described for kind in (each.takes, each.gives) if kind is not None)
    _, components = msgspec.json.schema_components([*types, schemas.Status, Problem], ref_template=REF)
    for kind in types:
        if issubclass(kind, schemas.Request) and "currency" in components[kind.__name__]["properties"]:
            components[kind.__name__]["properties"]["currency"]["enum"] = sorted(currencies)
    tags = [
        {"name": TAG, "description": "Plain REST, without what only v2 has: roles, batches, streams."},
        {"name": PROBES, "description": "Whether the service lives, and whether it takes work."},
    ]
    return Parts(tags, paths, components, {})


def _operation(endpoint: Endpoint) -> Json:
    responses = {str(status): _answer(status, None) for status in sorted(_refusals(endpoint))}
    responses[str(int(endpoint.status))] = _success(endpoint)
    described: Json = {
        "operationId": endpoint.operation.value,
        "tags": [TAG],
        "summary": SUMMARIES[endpoint.operation],
        "parameters": _parameters(endpoint),
        "responses": responses,
    }
    if endpoint.operation in PUBLIC:
        described["security"] = []
    if endpoint.takes is not None:
        content = {"schema": schema_ref(endpoint.takes.__name__), "example": _body(endpoint)}
        described["requestBody"] = {
            "required": endpoint.body_required,
            "content": {"application/json": content},
        }
    return described


def _body(endpoint: Endpoint) -> Json:
    assert endpoint.takes is not None
    asked = EXAMPLES[endpoint.operation].request
    return {name: asked[name] for name in endpoint.takes.__struct_fields__ if name in asked}


def _parameters(endpoint: Endpoint) -> list[Json]:
    asked = EXAMPLES[endpoint.operation].request
    parameters: list[Json] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": PATH[name],
            "example": asked.get(name, asked.get("id")),
        }
        for name in re.findall(r"<(?:\w+:)?(\w+)>", endpoint.path)
    ]
    for name in endpoint.query:
        example = {"example": asked[name]} if name in asked else {}
        parameters.append({"name": name, "in": "query", "schema": QUERY[name], **example})
    return [*parameters, idempotency_key()] if endpoint.moves_money else parameters


def _refusals(endpoint: Endpoint) -> set[int]:
    statuses = refusals(
        endpoint.operation, has_body=endpoint.takes is not None, names_something="<" in endpoint.path
    )
    if endpoint.query:
        statuses |= {400}
    if endpoint.moves_money:
        statuses |= {http_status(Code.INSUFFICIENT_FUNDS)}
    return statuses


def _success(endpoint: Endpoint) -> Json:
    answer = _answer(endpoint.status, endpoint.gives)
    if endpoint.gives is not None:
        answer["content"]["application/json"]["example"] = msgspec.to_builtins(EXAMPLES[endpoint.operation].v1)
    return {**answer, "headers": REPLAYED} if endpoint.moves_money else answer


def _answer(status: int, gives: type[msgspec.Struct] | None) -> Json:
    answer: Json = {"description": HTTPStatus(status).phrase}
    if status >= HTTPStatus.BAD_REQUEST:
        answer["content"] = {PROBLEM: {"schema": schema_ref("Problem")}}
    elif gives is not None:
        answer["content"] = {"application/json": {"schema": schema_ref(gives.__name__)}}
    return answer


def _template(path: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)
