"""Values of the domain as protobuf messages."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from domain.ledger import Account, Entry, Transfer
from domain.users import SecurityEvent, Session, User
from proto.transactions.v2 import types_pb2

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(at: datetime) -> Timestamp:
    """A point in time, to the microsecond."""
    since = at - EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def user(value: User) -> types_pb2.User:
    """A user."""
    return types_pb2.User(
        username=value.username,
        full_name=value.full_name,
        email=value.email,
        is_email_verified=value.is_email_verified,
        roles=value.roles,
        password_changed_at=timestamp(value.password_changed_at),
        created_at=timestamp(value.created_at),
    )


def session(value: Session, current: UUID) -> types_pb2.Session:
    """A session, and whether it is the current one."""
    return types_pb2.Session(
        id=str(value.id),
        user_agent=value.user_agent,
        client_address=value.client_address,
        created_at=timestamp(value.created_at),
        last_used_at=timestamp(value.last_used_at),
        expires_at=timestamp(value.expires_at),
        is_current=value.id == current,
    )


def security_event(value: SecurityEvent) -> types_pb2.SecurityEvent:
    """A security event."""
    return types_pb2.SecurityEvent(
        id=value.id,
        created_at=timestamp(value.created_at),
        kind=value.kind,
        username=value.username or "",
        actor=value.actor or "",
        client_address=value.client_address,
        user_agent=value.user_agent,
        detail=value.detail,
    )


def account(value: Account) -> types_pb2.Account:
    """An account."""
    return types_pb2.Account(
        id=value.id,
        owner=value.owner or "",
        name=value.name,
        currency=value.currency,
        balance=value.balance,
        available_balance=value.available_balance,
        status=value.status,
        created_at=timestamp(value.created_at),
    )


def transfer(value: Transfer) -> types_pb2.Transfer:
    """A transfer."""
    return types_pb2.Transfer(
        id=value.id,
        from_account_id=value.from_account_id,
        to_account_id=value.to_account_id,
        amount=value.amount,
        currency=value.currency,
        status=value.status,
        created_at=timestamp(value.created_at),
    )


def entry(value: Entry) -> types_pb2.Entry:
    """One side of a transfer."""
    return types_pb2.Entry(
        account_id=value.account_id,
        seq=value.seq,
        transfer_id=value.transfer_id,
        amount=value.amount,
        balance_after=value.balance_after,
        created_at=timestamp(value.created_at),
    )
