"""Loaded by schemathesis: every request is made by one user with every role, in a session of its own.

So nothing that is tried, logging out included, takes anything from the requests behind it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import schemathesis

from application.tokens import ACCESS, Tokens
from domain.common_passwords import COMMON_PASSWORDS
from domain.policy import Role

TOKENS = Tokens([bytes.fromhex(os.environ["TOKEN_KEY"])], issue="jwt")


@schemathesis.auth(refresh_interval=None)
class Everything:
    def get(self, case, context):
        ends = datetime.now(UTC) + timedelta(minutes=5)
        name, roles = os.environ["TOKEN_USER"], [role.value for role in Role]
        return TOKENS.issue(ACCESS, username=name, roles=roles, session_id=uuid4(), expires_at=ends).token

    def set(self, case, data, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


@schemathesis.hook
def map_body(context, body):
    """JSON Schema calls 1.0 an integer; as an amount or an id it is refused on purpose, so none is sent as good."""
    if not isinstance(body, dict):
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
    for name in ("account_id", "transfer_id"):
        value = (path_parameters or {}).get(name)
        if type(value) is int and value > 0 and value % 2:
            path_parameters[name] = int(os.environ[name.upper()])
    return path_parameters
