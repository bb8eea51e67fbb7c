"""People and their sessions, as values."""

from __future__ import annotations

from datetime import datetime
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


class Session(NamedTuple):
    """A login that may be renewed; the refresh token itself is stored nowhere, only its SHA-256."""

    id: UUID
    username: str
    refresh_token_hash: bytes
    user_agent: str
    client_address: str
    created_at: datetime
    expires_at: datetime


class EmailVerification(NamedTuple):
    """A link mailed to prove an address; the code is stored as its SHA-256."""

    id: UUID
    username: str
    email: str
    secret_hash: bytes
    created_at: datetime
    expires_at: datetime
