"""The description of v1 (OpenAPI 3.1), made from what its routes say of themselves.

Bodies are described by the very types that decode and encode them; statuses follow from what a route is: public
or not, with a body or without, about something that may not be there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from application.ledger import PAGE_DEFAULT, PAGE_MAX
from domain.errors import Code, FieldError
from domain.policy import PUBLIC, Operation
from domain.validation import ID_MAX, USERNAME
from transport.errors import http_status
from transport.http import schemas
from transport.http.endpoint import Endpoint

VERSION = "1.0"
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
ABOUT_WHAT_MAY_NOT_BE_THERE = {
    Operation.VERIFY_EMAIL,
    Operation.CONFIRM_PASSWORD_RESET,
    Operation.LIST_ACCOUNTS,
    Operation.CREATE_TRANSFER,
}
MAY_BE_TAKEN = {Operation.CREATE_USER, Operation.UPDATE_USER}
TAKES_CREDENTIALS = {Operation.LOGIN_USER, Operation.RENEW_ACCESS}

QUERY: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT},
    "cursor": {"type": "string", "description": "From the page before", "pattern": "^[1-9][0-9]{0,17}$"},
    "username": {"type": "string", "pattern": USERNAME},
    "owner": {"type": "string", "pattern": USERNAME},
    "email_id": {"type": "string"},
    "secret_code": {"type": "string"},
}
PATH: dict[str, dict[str, Any]] = {
    "username": {"type": "string", "pattern": USERNAME},
    "session_id": {"type": "string", "format": "uuid"},
    "account_id": {"type": "integer", "minimum": 1, "maximum": ID_MAX},
    "transfer_id": {"type": "integer", "minimum": 1, "maximum": ID_MAX},
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The first outcome is replayed for 24 hours; the key belongs to the calling user",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
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


def describe(endpoints: Iterable[Endpoint], currencies: Iterable[str]) -> bytes:
    """The document, as JSON, for a service with these currencies."""
    described = sorted(endpoints, key=lambda each: (each.path, each.method))
    paths: dict[str, dict[str, Any]] = {}
    for each in described:
        paths.setdefault(_template(each.path), {})[each.method.lower()] = _operation(each)
    for probe, statuses in (("/healthz", (200,)), ("/readyz", (200, 503))):
        responses = {str(status): _answer(status, schemas.Status) for status in statuses}
        paths[probe] = {"get": {"operationId": probe[1:], "security": [], "responses": responses}}
    types = {kind for each in described for kind in (each.takes, each.gives) if kind is not None}
    _, components = msgspec.json.schema_components([*types, schemas.Status, Problem], ref_template=REF)
    for kind in types:
        if issubclass(kind, schemas.Request) and "currency" in components[kind.__name__]["properties"]:
            components[kind.__name__]["properties"]["currency"]["enum"] = sorted(currencies)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Transactions API",
            "version": VERSION,
            "description": "Users, accounts and transfers. Amounts are integer minor units.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    }
    return msgspec.json.encode(document)


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": endpoint.operation.value,
        "summary": SUMMARIES[endpoint.operation],
        "parameters": _parameters(endpoint),
        "responses": {str(status): _answer(status, endpoint.gives) for status in sorted(_statuses(endpoint))},
    }
    if endpoint.operation in PUBLIC:
        described["security"] = []
    if endpoint.takes is not None:
        content = {"application/json": {"schema": {"$ref": REF.format(name=endpoint.takes.__name__)}}}
        described["requestBody"] = {"required": endpoint.body_required, "content": content}
    return described


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    named = re.findall(r"<(?:\w+:)?(\w+)>", endpoint.path)
    parameters = [{"name": name, "in": "path", "required": True, "schema": PATH[name]} for name in named]
    parameters += [{"name": name, "in": "query", "schema": QUERY[name]} for name in endpoint.query]
    return [*parameters, IDEMPOTENCY_KEY] if endpoint.moves_money else parameters


def _statuses(endpoint: Endpoint) -> set[int]:
    operation = endpoint.operation
    statuses = {int(endpoint.status), 500, 503, 504}
    if endpoint.takes is not None:
        statuses |= {400, 408, 413, 429}
    if endpoint.query:
        statuses |= {400}
    if operation not in PUBLIC:
        statuses |= {401, 403}
    if operation in TAKES_CREDENTIALS:
        statuses |= {401, 403}
    if "<" in endpoint.path or operation in ABOUT_WHAT_MAY_NOT_BE_THERE:
        statuses |= {404}
    if operation in MAY_BE_TAKEN:
        statuses |= {409}
    if endpoint.moves_money:
        statuses |= {http_status(Code.INSUFFICIENT_FUNDS)}
    return statuses


def _answer(status: int, gives: type[msgspec.Struct] | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if status >= HTTPStatus.BAD_REQUEST:
        answer["content"] = {PROBLEM: {"schema": {"$ref": REF.format(name="Problem")}}}
    elif gives is not None:
        answer["content"] = {"application/json": {"schema": {"$ref": REF.format(name=gives.__name__)}}}
    return answer


def _template(path: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)
