"""Who may do what: one table, deny by default.

A rule says for each role how far an operation reaches: one's own things, or anybody's. Operations that need no
login are named in `PUBLIC`; what is in neither place nobody may do. Transports refuse to start with a route or
a method that has no rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from domain.errors import PermissionDenied


class Role(StrEnum):
    """What a user is to the bank; a user may hold several, and one who holds none is disabled."""

    DEPOSITOR = "depositor"
    BANKER = "banker"
    ADMIN = "admin"
    AUDITOR = "auditor"


class Operation(StrEnum):
    """Everything that can be asked for, named as its RPC and its route are."""

    CREATE_USER = "create_user"
    LOGIN_USER = "login_user"
    RENEW_ACCESS = "renew_access"
    VERIFY_EMAIL = "verify_email"
    RESEND_VERIFICATION = "resend_verification"
    REQUEST_PASSWORD_RESET = "request_password_reset"
    CONFIRM_PASSWORD_RESET = "confirm_password_reset"
    GET_USER = "get_user"
    UPDATE_USER = "update_user"
    GRANT_ROLES = "grant_roles"
    LOGOUT_USER = "logout_user"
    LIST_SESSIONS = "list_sessions"
    REVOKE_SESSION = "revoke_session"
    LIST_SECURITY_EVENTS = "list_security_events"
    CREATE_ACCOUNT = "create_account"
    GET_ACCOUNT = "get_account"
    LIST_ACCOUNTS = "list_accounts"
    LIST_ENTRIES = "list_entries"
    DEPOSIT = "deposit"
    WITHDRAW = "withdraw"
    CREATE_TRANSFER = "create_transfer"
    GET_TRANSFER = "get_transfer"
    BATCH_TRANSFERS = "batch_transfers"
    STREAM_TRANSFERS = "stream_transfers"
    WATCH_ACCOUNT = "watch_account"


class Scope(IntEnum):
    """How far an operation reaches."""

    NONE = 0
    OWN = 1
    ANY = 2


PUBLIC = frozenset(
    {
        Operation.CREATE_USER,
        Operation.LOGIN_USER,
        Operation.RENEW_ACCESS,
        Operation.VERIFY_EMAIL,
        Operation.RESEND_VERIFICATION,
        Operation.REQUEST_PASSWORD_RESET,
        Operation.CONFIRM_PASSWORD_RESET,
    }
)

_EVERYBODYS_OWN: Mapping[Role, Scope] = dict.fromkeys(Role, Scope.OWN)
_READ_BY_STAFF = {**_EVERYBODYS_OWN, Role.BANKER: Scope.ANY, Role.AUDITOR: Scope.ANY}

RULES: Mapping[Operation, Mapping[Role, Scope]] = {
    Operation.GET_USER: {**_READ_BY_STAFF, Role.ADMIN: Scope.ANY},
    Operation.UPDATE_USER: {**_EVERYBODYS_OWN, Role.BANKER: Scope.ANY, Role.ADMIN: Scope.ANY},
    Operation.GRANT_ROLES: {Role.ADMIN: Scope.ANY},
    Operation.LOGOUT_USER: _EVERYBODYS_OWN,
    Operation.LIST_SESSIONS: _EVERYBODYS_OWN,
    Operation.REVOKE_SESSION: _EVERYBODYS_OWN,
    Operation.LIST_SECURITY_EVENTS: {Role.ADMIN: Scope.ANY, Role.AUDITOR: Scope.ANY},
    Operation.CREATE_ACCOUNT: {Role.DEPOSITOR: Scope.OWN},
    Operation.GET_ACCOUNT: _READ_BY_STAFF,
    Operation.LIST_ACCOUNTS: _READ_BY_STAFF,
    Operation.LIST_ENTRIES: _READ_BY_STAFF,
    Operation.DEPOSIT: {Role.BANKER: Scope.ANY},
    Operation.WITHDRAW: {Role.BANKER: Scope.ANY},
    Operation.CREATE_TRANSFER: {Role.DEPOSITOR: Scope.OWN},
    Operation.BATCH_TRANSFERS: {Role.DEPOSITOR: Scope.OWN},
    Operation.STREAM_TRANSFERS: {Role.DEPOSITOR: Scope.OWN},
    Operation.GET_TRANSFER: _READ_BY_STAFF,
    Operation.WATCH_ACCOUNT: _READ_BY_STAFF,
}
assert RULES.keys() | PUBLIC == set(Operation)
assert not RULES.keys() & PUBLIC


class Principal(NamedTuple):
    """Who makes a request, as its access token says."""

    username: str
    scopes: Mapping[Operation, Scope]
    session_id: UUID
    expires_at: datetime


@lru_cache(maxsize=64)
def scopes(roles: tuple[str, ...]) -> Mapping[Operation, Scope]:
    """How far each operation reaches for who holds these roles; a role nobody knows adds nothing."""
    known = [Role(role) for role in roles if role in Role.__members__.values()]
    reach = {
        operation: max((rule.get(role, Scope.NONE) for role in known), default=Scope.NONE)
        for operation, rule in RULES.items()
    }
    return {operation: scope for operation, scope in reach.items() if scope}


def check(principal: Principal, operation: Operation) -> Scope:
    """How far it reaches for this caller; raises PermissionDenied where it does not at all."""
    scope = principal.scopes.get(operation, Scope.NONE)
    if scope is Scope.NONE:
        raise PermissionDenied("your roles do not allow this")
    return scope


def may_change(changer: Mapping[Operation, Scope], roles: list[str]) -> bool:
    """Whether a user with these roles may be changed by somebody else: staff only by who may grant roles."""
    return Operation.GRANT_ROLES in changer or set(roles) <= {Role.DEPOSITOR}
