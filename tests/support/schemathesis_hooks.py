"""Loaded by schemathesis: every request is made by one user with every role, in a session of its own.

So nothing that is tried, logging out included, takes anything from the requests behind it.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import schemathesis

from application.tokens import ACCESS, Tokens
from domain.common_passwords import COMMON_PASSWORDS
from domain.policy import Role
from transport import errors

TOKENS = Tokens([bytes.fromhex(os.environ["TOKEN_KEY"])], issue="jwt")
V2 = "/v2/"


@schemathesis.auth(refresh_interval=None)
class Everything:
    def get(self, case, context):
        ends = datetime.now(UTC) + timedelta(minutes=5)
        name, roles = os.environ["TOKEN_USER"], [role.value for role in Role]
        return TOKENS.issue(ACCESS, username=name, roles=roles, session_id=uuid4(), expires_at=ends).token

    def set(self, case, data, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


@schemathesis.serializer("application/x-ndjson")
def as_line(context, value):
    """A stream of one message."""
    return json.dumps(value).encode()


@schemathesis.check
def good_data(context, response, case):
    """Over the gateway a refusal of the bank's is a 400 too: not for a request that is bad in itself, though."""
    if case.meta and case.meta.generation.mode.is_positive and case.path.startswith(V2):
        assert response.status_code != 400 or response.json()["code"] == errors.FAILED_PRECONDITION, (
            response.text
        )


@schemathesis.hook
def map_body(context, body):
    """JSON Schema calls 1.0 an integer; v1 refuses it on purpose, as an amount or an id, so it is not sent as good."""
    if not isinstance(body, dict) or context.operation.path.startswith(V2):
        return body
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in body.items()
    }


@schemathesis.hook
def before_call(context, case, kwargs):
    """The description can not name thousands of common passwords, so none is sent as good."""
    password = case.body.get("password") if isinstance(case.body, dict) else None
    if isinstance(password, str) and password.casefold() in COMMON_PASSWORDS:
        case.body["password"] = f"{password} and more"


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Every other good id is one that is there."""
    about = "TRANSFER_ID" if "transfers" in context.operation.path else "ACCOUNT_ID"
    for name, value in (path_parameters or {}).items():
        if type(value) is int and value > 0 and value % 2:
            path_parameters[name] = int(os.environ[about])
    return path_parameters
