"""The JSON of v1, as types: what requests must look like, and what responses are made of.

Decoding is strict. Unknown fields, wrong types, booleans or floats for integers, and duplicate keys are each
an InvalidArgument that names the field where there is one.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Annotated, Any, NoReturn, TypeVar
from uuid import UUID

import msgspec

from application.sessions import Login
from domain import validation
from domain.errors import FieldError, InvalidArgument
from domain.ledger import AMOUNT_MAX, Account, Entry, Transfer
from domain.users import SecurityEvent, Session, User


def _said(**schema: object) -> msgspec.Meta:
    return msgspec.Meta(extra_json_schema=dict(schema))


class Request(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A request body."""


# What the API's description says of well-formed values; `domain.validation` decides.
Username = Annotated[str, _said(pattern=validation.USERNAME)]
Password = Annotated[
    str,
    _said(minLength=validation.PASSWORD_MIN, maxLength=validation.PASSWORD_MAX, pattern=validation.WITHOUT_NUL),
]
FullName = Annotated[str, _said(minLength=1, maxLength=validation.NAME_MAX, pattern=validation.NAMED)]
Email = Annotated[str, _said(format="email", maxLength=validation.EMAIL_MAX)]
AccountName = Annotated[str, _said(maxLength=validation.NAME_MAX, pattern=validation.PRINTABLE)]
Currency = Annotated[str, _said(pattern="^[A-Z]{3}$")]
Amount = Annotated[int, _said(minimum=1, maximum=AMOUNT_MAX)]
Identifier = Annotated[int, _said(minimum=1, maximum=validation.ID_MAX)]
Text = Annotated[str, _said(pattern=validation.WITHOUT_NUL)]


class CreateUser(Request, frozen=True):
    username: Username
    password: Password
    full_name: FullName
    email: Email


class UpdateUser(Request, frozen=True):
    full_name: FullName | msgspec.UnsetType = msgspec.UNSET
    email: Email | msgspec.UnsetType = msgspec.UNSET
    password: Password | msgspec.UnsetType = msgspec.UNSET


class LoginUser(Request, frozen=True):
    username: Text
    password: Text


class RenewAccess(Request, frozen=True):
    refresh_token: Text


class Logout(Request, frozen=True):
    """With `everywhere` every session of the user ends, and not only this one."""

    everywhere: bool = False


class EmailAddress(Request, frozen=True):
    email: Email


class ConfirmPasswordReset(Request, frozen=True):
    reset_id: Text
    secret_code: Text
    password: Password


class CreateAccount(Request, frozen=True):
    currency: Currency
    name: AccountName = ""


class MoveBankMoney(Request, frozen=True):
    amount: Amount


class CreateTransfer(Request, frozen=True):
    from_account_id: Identifier
    to_account_id: Identifier
    amount: Amount
    currency: Currency


class UserBody(msgspec.Struct, frozen=True):
    username: str
    full_name: str
    email: str
    is_email_verified: bool
    roles: list[str]
    password_changed_at: datetime
    created_at: datetime

    @classmethod
    def of(cls, user: User) -> UserBody:
        return cls(*user)


class LoginBody(msgspec.Struct, frozen=True):
    session_id: str
    access_token: str
    access_token_expires_at: datetime
    refresh_token: str
    refresh_token_expires_at: datetime
    user: UserBody

    @classmethod
    def of(cls, login: Login) -> LoginBody:
        return cls(
            str(login.session_id),
            login.access.token,
            login.access.expires_at,
            login.refresh.token,
            login.refresh.expires_at,
            UserBody.of(login.user),
        )


class SessionBody(msgspec.Struct, frozen=True):
    id: str
    user_agent: str
    client_address: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    is_current: bool

    @classmethod
    def of(cls, session: Session, current: UUID) -> SessionBody:
        return cls(
            str(session.id),
            session.user_agent,
            session.client_address,
            session.created_at,
            session.last_used_at,
            session.expires_at,
            session.id == current,
        )


class SessionList(msgspec.Struct, frozen=True):
    """Sessions that can be renewed, last used first, 100 at most."""

    items: list[SessionBody]


class SecurityEventBody(msgspec.Struct, frozen=True):
    id: int
    created_at: datetime
    kind: str
    username: str | None
    actor: str | None
    client_address: str
    user_agent: str
    detail: str

    @classmethod
    def of(cls, event: SecurityEvent) -> SecurityEventBody:
        return cls(*event)


class SecurityEventPage(msgspec.Struct, frozen=True):
    items: list[SecurityEventBody]
    next_cursor: str | None


class Verified(msgspec.Struct, frozen=True):
    is_verified: bool


class Status(msgspec.Struct, frozen=True):
    """Nothing more is to be said."""

    status: str


class AccountBody(msgspec.Struct, frozen=True):
    id: int
    owner: str | None
    name: str
    currency: str
    balance: int
    available_balance: int
    status: str
    created_at: datetime

    @classmethod
    def of(cls, account: Account) -> AccountBody:
        return cls(
            account.id,
            account.owner,
            account.name,
            account.currency,
            account.balance,
            account.available_balance,
            account.status,
            account.created_at,
        )


class TransferBody(msgspec.Struct, frozen=True):
    id: int
    from_account_id: int
    to_account_id: int
    amount: int
    currency: str
    status: str
    created_at: datetime

    @classmethod
    def of(cls, transfer: Transfer) -> TransferBody:
        return cls(
            transfer.id,
            transfer.from_account_id,
            transfer.to_account_id,
            transfer.amount,
            transfer.currency,
            transfer.status,
            transfer.created_at,
        )


class EntryBody(msgspec.Struct, frozen=True):
    account_id: int
    seq: int
    transfer_id: int
    amount: int
    balance_after: int
    created_at: datetime

    @classmethod
    def of(cls, entry: Entry) -> EntryBody:
        return cls(*entry)


class BankMoneyMoved(msgspec.Struct, frozen=True):
    """A deposit or a withdrawal."""

    transfer: TransferBody
    account: AccountBody


class TransferMade(msgspec.Struct, frozen=True):
    """The source's side only: the other balance is nobody's business."""

    transfer: TransferBody
    from_account: AccountBody
    from_entry: EntryBody


class AccountPage(msgspec.Struct, frozen=True):
    items: list[AccountBody]
    next_cursor: str | None


class EntryPage(msgspec.Struct, frozen=True):
    items: list[EntryBody]
    next_cursor: str | None


Body = TypeVar("Body", bound=Request)
encode = msgspec.json.Encoder().encode

# msgspec ends a message with where it was found: "Expected `int`, got `bool` - at `$.amount`"
_PLACE = re.compile(r"(?P<what>.*?)(?: - at `\$(?:\.(?P<field>[^`]*))?`)?")
_NAMED = re.compile(r"Object (?P<why>missing required|contains unknown) field `(?P<field>[^`]*)`")


def decode(raw: bytes, body: type[Body]) -> Body:
    """The body of this type; raises InvalidArgument saying what is wrong with it."""
    try:
        document = json.loads(raw, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidArgument("the body is nested too deeply") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"the body is not valid JSON: {error}") from None
    except ValueError:
        raise InvalidArgument("the body has a number that is none, or is too long") from None
    try:
        return msgspec.convert(document, body, strict=True)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if not _is_text(name):
            raise InvalidArgument("the name of a field must be valid Unicode without NUL")
        if name in result:
            raise InvalidArgument.field(name, "appears twice")
        if isinstance(value, float):
            raise InvalidArgument.field(name, "must not be a fraction")
        if isinstance(value, str) and not _is_text(value):
            raise InvalidArgument.field(name, "must be valid Unicode without NUL")
        result[name] = value
    return result


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell
        return False
    return "\x00" not in value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _invalid(message: str) -> InvalidArgument:
    named = _NAMED.match(message)
    if named:
        why = "is required" if named["why"].startswith("missing") else "is not a field of this request"
        return _field(named["field"], why)
    place = _PLACE.fullmatch(message)
    if place and place["field"]:
        return _field(place["field"], place["what"].replace("`", ""))
    return InvalidArgument("the body must be a JSON object")


def _field(name: str, message: str) -> InvalidArgument:
    return InvalidArgument(f"{name} {message}", (FieldError(name, message),))
