"""People, their sessions and what happens to both, as values."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID


class User(NamedTuple):
    """Somebody who can log in, without the password's hash."""

    username: str
    full_name: str
    email: str
    is_email_verified: bool
    roles: list[str]
    password_changed_at: datetime
    created_at: datetime


class Client(NamedTuple):
    """Where a request came from: the address believed, and what the client says of itself."""

    address: str
    user_agent: str


class Session(NamedTuple):
    """A login that may be renewed; the refresh token itself is stored nowhere, only the newest one's SHA-256."""

    id: UUID
    username: str
    refresh_token_hash: bytes
    user_agent: str
    client_address: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


class MailedSecret(NamedTuple):
    """A link mailed to prove an address or to reset a password; its code is stored as its SHA-256.

    The database says when it ends, so the database's clock says when it began.
    """

    id: UUID
    username: str
    email: str
    secret_hash: bytes
    lasts: timedelta


class SecurityEventKind(StrEnum):
    """What an administrator would want to have seen."""

    USER_CREATED = "user_created"
    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    LOGOUT = "logout"
    SESSION_REVOKED = "session_revoked"
    REFRESH_REUSED = "refresh_reused"
    ROLES_CHANGED = "roles_changed"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_RESET_REQUESTED = "password_reset_requested"
    EMAIL_CHANGED = "email_changed"
    EMAIL_VERIFIED = "email_verified"
    VERIFICATION_REQUESTED = "verification_requested"


class SecurityEvent(NamedTuple):
    """Something that happened to a user's identity. `actor` is who did it, where somebody is known to have."""

    id: int
    created_at: datetime
    kind: str
    username: str | None
    actor: str | None
    client_address: str
    user_agent: str
    detail: str
