"""Examples of what is sent and answered, for the API's description: one story, in the words of both versions.

Answers are made of the domain's values, by what makes all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from google.protobuf.message import Message

from application.sessions import Login
from application.tokens import IssuedToken
from domain.ledger import ACTIVE, CUSTOMER, Account, Entry, Transfer
from domain.policy import Operation, Role
from domain.users import SecurityEvent, SecurityEventKind, Session, User
from transport.grpc import messages
from transport.http import schemas

from proto.transactions.v2 import identity_pb2 as identity  # isort: skip
from proto.transactions.v2 import ledger_pb2 as ledger  # isort: skip


class Example(NamedTuple):
    """A request's fields by their names in the .proto files, and the answer in each version that has it.

    Whoever tries the API sends what is here: nothing that would make only a part of what is there come back, and
    no key that makes the second try a replay.
    """

    request: dict[str, Any]
    v2: Message
    v1: msgspec.Struct | None = None


NOW = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
MAILED = UUID("0b6f6a4e-7d0c-4a6e-9a53-2f0d1c9e8b71")
CODE = "k7Qm2vXw9TzR4bYc"
PASSWORD = "correct horse battery"

ALICE = User("alice", "Alice Liddell", "alice@example.com", True, [Role.DEPOSITOR], NOW, NOW)
REGISTERED = ALICE._replace(is_email_verified=False)
BROUGHT = Transfer(7001, 1, 4, 1001, 1, 10_000, "USD", "bob", NOW)
TAKEN = Transfer(7002, 1001, 2, 1, 5, 500, "USD", "bob", NOW)
MOVED = Transfer(7003, 1001, 3, 1002, 1, 2_500, "USD", "alice", NOW)
OPENED = Account(1001, "alice", "Checking", "USD", CUSTOMER, 0, 0, ACTIVE, 0, NOW, NOW)
RICHER = OPENED._replace(balance=10_000)
POORER = OPENED._replace(balance=9_500)
AFTER = OPENED._replace(balance=7_000)
ENTRY = Entry(1001, 3, 7003, -2_500, 7_000, NOW)
SESSION = Session(
    UUID("5f0e6f0a-31f4-4d0e-8f39-6f1f3b1d2c10"),
    *("alice", b"", "curl/8.5.0", "192.0.2.17", NOW, NOW, NOW + timedelta(days=1)),
)
EVENT = SecurityEvent(41, NOW, SecurityEventKind.LOGIN, "alice", "alice", "192.0.2.17", "curl/8.5.0", "")
LOGIN = Login(
    SESSION.id,
    IssuedToken("v4.local.the-access-token", NOW + timedelta(minutes=15)),
    IssuedToken("v4.local.the-refresh-token", SESSION.expires_at),
    ALICE,
)

ORDER = {"from_account_id": 1001, "to_account_id": 1002, "amount": 2_500, "currency": "USD"}
OUTCOME = ledger.TransferOutcome(transfer_id=7003, from_seq=3, from_balance_after=7_000)
PAGE = {"limit": 20}


def _login_fields(login: Login) -> dict[str, Any]:
    return {
        "session_id": str(login.session_id),
        "access_token": login.access.token,
        "access_token_expires_at": messages.timestamp(login.access.expires_at),
        "refresh_token": login.refresh.token,
        "refresh_token_expires_at": messages.timestamp(login.refresh.expires_at),
        "user": messages.user(login.user),
    }


def _moved(account: Account, transfer: Transfer) -> dict[str, Any]:
    return {"transfer": messages.transfer(transfer), "account": messages.account(account)}


def _moved_v1(account: Account, transfer: Transfer) -> schemas.BankMoneyMoved:
    return schemas.BankMoneyMoved(schemas.TransferBody.of(transfer), schemas.AccountBody.of(account))


IDENTITY: Mapping[Operation, Example] = {
    Operation.CREATE_USER: Example(
        {"username": "alice", "password": PASSWORD, "full_name": ALICE.full_name, "email": ALICE.email},
        identity.CreateUserResponse(user=messages.user(REGISTERED)),
        schemas.UserBody.of(REGISTERED),
    ),
    Operation.GET_USER: Example(
        {"username": "alice"},
        identity.GetUserResponse(user=messages.user(ALICE)),
        schemas.UserBody.of(ALICE),
    ),
    Operation.UPDATE_USER: Example(
        {"username": "alice", "full_name": ALICE.full_name},
        identity.UpdateUserResponse(user=messages.user(ALICE)),
        schemas.UserBody.of(ALICE),
    ),
    Operation.GRANT_ROLES: Example(
        {"username": "alice", "roles": [Role.DEPOSITOR]},
        identity.GrantRolesResponse(user=messages.user(ALICE)),
    ),
    Operation.LOGIN_USER: Example(
        {"username": "alice", "password": PASSWORD},
        identity.LoginUserResponse(**_login_fields(LOGIN)),
        schemas.LoginBody.of(LOGIN),
    ),
    Operation.RENEW_ACCESS: Example(
        {"refresh_token": LOGIN.refresh.token},
        identity.RenewAccessResponse(**_login_fields(LOGIN)),
        schemas.LoginBody.of(LOGIN),
    ),
    Operation.LOGOUT_USER: Example({"everywhere": False}, identity.LogoutUserResponse()),
    Operation.LIST_SESSIONS: Example(
        {},
        identity.ListSessionsResponse(items=[messages.session(SESSION, SESSION.id)]),
        schemas.SessionList([schemas.SessionBody.of(SESSION, SESSION.id)]),
    ),
    Operation.REVOKE_SESSION: Example({"id": str(SESSION.id)}, identity.RevokeSessionResponse()),
    Operation.VERIFY_EMAIL: Example(
        {"email_id": str(MAILED), "secret_code": CODE},
        identity.VerifyEmailResponse(is_verified=True),
        schemas.Verified(True),
    ),
    Operation.RESEND_VERIFICATION: Example(
        {"email": ALICE.email}, identity.ResendVerificationResponse(), schemas.Status("accepted")
    ),
    Operation.REQUEST_PASSWORD_RESET: Example(
        {"email": ALICE.email}, identity.RequestPasswordResetResponse(), schemas.Status("accepted")
    ),
    Operation.CONFIRM_PASSWORD_RESET: Example(
        {"reset_id": str(MAILED), "secret_code": CODE, "password": PASSWORD},
        identity.ConfirmPasswordResetResponse(),
        schemas.Status("changed"),
    ),
    Operation.LIST_SECURITY_EVENTS: Example(
        PAGE,
        identity.ListSecurityEventsResponse(items=[messages.security_event(EVENT)]),
        schemas.SecurityEventPage([schemas.SecurityEventBody.of(EVENT)], None),
    ),
}

LEDGER: Mapping[Operation, Example] = {
    Operation.CREATE_ACCOUNT: Example(
        {"currency": "USD", "name": OPENED.name},
        ledger.CreateAccountResponse(account=messages.account(OPENED)),
        schemas.AccountBody.of(OPENED),
    ),
    Operation.GET_ACCOUNT: Example(
        {"id": OPENED.id},
        ledger.GetAccountResponse(account=messages.account(RICHER)),
        schemas.AccountBody.of(RICHER),
    ),
    Operation.LIST_ACCOUNTS: Example(
        PAGE,
        ledger.ListAccountsResponse(items=[messages.account(RICHER)]),
        schemas.AccountPage([schemas.AccountBody.of(RICHER)], None),
    ),
    Operation.LIST_ENTRIES: Example(
        {"account_id": OPENED.id, **PAGE},
        ledger.ListEntriesResponse(items=[messages.entry(ENTRY)], next_cursor="3"),
        schemas.EntryPage([schemas.EntryBody.of(ENTRY)], "3"),
    ),
    Operation.DEPOSIT: Example(
        {"account_id": OPENED.id, "amount": BROUGHT.amount},
        ledger.DepositResponse(**_moved(RICHER, BROUGHT)),
        _moved_v1(RICHER, BROUGHT),
    ),
    Operation.WITHDRAW: Example(
        {"account_id": OPENED.id, "amount": TAKEN.amount},
        ledger.WithdrawResponse(**_moved(POORER, TAKEN)),
        _moved_v1(POORER, TAKEN),
    ),
    Operation.CREATE_TRANSFER: Example(
        ORDER,
        ledger.CreateTransferResponse(
            transfer=messages.transfer(MOVED),
            from_account=messages.account(AFTER),
            from_entry=messages.entry(ENTRY),
        ),
        schemas.TransferMade(
            schemas.TransferBody.of(MOVED), schemas.AccountBody.of(AFTER), schemas.EntryBody.of(ENTRY)
        ),
    ),
    Operation.GET_TRANSFER: Example(
        {"id": MOVED.id},
        ledger.GetTransferResponse(transfer=messages.transfer(MOVED)),
        schemas.TransferBody.of(MOVED),
    ),
    Operation.BATCH_TRANSFERS: Example(
        {"transfers": [ORDER], "atomic": True},
        ledger.BatchTransfersResponse(outcomes=[OUTCOME]),
    ),
    Operation.STREAM_TRANSFERS: Example(
        {"reference": "1", "transfer": ORDER},
        ledger.StreamTransfersResponse(reference="1", outcome=OUTCOME),
    ),
    Operation.WATCH_ACCOUNT: Example(
        {"account_id": OPENED.id}, ledger.WatchAccountResponse(entry=messages.entry(ENTRY))
    ),
}

EXAMPLES = {**IDENTITY, **LEDGER}
assert EXAMPLES.keys() == set(Operation)
