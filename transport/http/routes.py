"""HTTP v1: translates requests into operations of the application, and their results into JSON."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import trio
from quart import Blueprint, Response, request

from application.ledger import PAGE_DEFAULT, PAGE_MAX, SEQ_BEYOND_ALL
from application.service import Service
from application.tokens import authenticate
from domain.errors import Code, InvalidArgument, NotFound
from domain.ledger import Outcome, Posted, Refused
from domain.policy import Principal
from transport.http import schemas
from transport.http.problems import problem, refusal

Body = TypeVar("Body", bound=schemas.Request)
Item = TypeVar("Item")


def blueprint(service: Service) -> Blueprint:
    """All of v1 on one service."""
    routes = Blueprint("v1", __name__)
    _add_users(routes, service)
    _add_accounts(routes, service)
    _add_transfers(routes, service)
    _add_probes(routes, service)
    return routes


def _add_users(routes: Blueprint, service: Service) -> None:
    identity = service.identity

    @routes.post("/v1/users")
    async def create_user() -> Response:
        body = await _body(schemas.CreateUser)
        user = await identity.create_user(
            username=body.username, password=body.password, full_name=body.full_name, email=body.email
        )
        return _json(schemas.UserBody.of(user), 201)

    @routes.get("/v1/users/<username>")
    async def get_user(username: str) -> Response:
        return _json(schemas.UserBody.of(await identity.get_user(_principal(service), username)))

    @routes.patch("/v1/users/<username>")
    async def update_user(username: str) -> Response:
        principal = _principal(service)
        body = await _body(schemas.UpdateUser)
        user = await identity.update_user(
            principal,
            username,
            full_name=_given(body.full_name),
            email=_given(body.email),
            password=_given(body.password),
        )
        return _json(schemas.UserBody.of(user))

    @routes.post("/v1/users/login")
    async def login() -> Response:
        body = await _body(schemas.Login)
        login = await identity.login(
            username=body.username,
            password=body.password,
            user_agent=request.headers.get("User-Agent", ""),
            client_address=request.remote_addr or "",
        )
        return _json(
            schemas.LoginBody(
                str(login.session_id),
                login.access.token,
                login.access.expires_at,
                login.refresh.token,
                login.refresh.expires_at,
                schemas.UserBody.of(login.user),
            )
        )

    @routes.get("/v1/verify_email")
    async def verify_email() -> Response:
        html = "text/html" in request.headers.get("Accept", "")
        try:
            email_id = UUID(request.args.get("email_id", ""))
        except ValueError:
            email_id = UUID(int=0)  # nobody's
        try:
            await identity.verify_email(email_id=email_id, secret_code=request.args.get("secret_code", ""))
        except NotFound:
            if not html:
                raise
            return _page("This link is not valid", "It was used before, or is older than 15 minutes.", 404)
        if html:
            return _page("Thank you", "Your email address is verified. You may close this page.", 200)
        return _json({"is_verified": True})


def _add_accounts(routes: Blueprint, service: Service) -> None:
    ledger = service.ledger

    @routes.post("/v1/accounts")
    async def create_account() -> Response:
        principal = _principal(service)
        body = await _body(schemas.CreateAccount)
        opened = await ledger.create_account(
            principal, currency=body.currency, name=body.name, key=_idempotency_key()
        )
        return _json(schemas.AccountBody.of(opened.account), 201, replayed=opened.replayed)

    @routes.get("/v1/accounts")
    async def list_accounts() -> Response:
        principal = _principal(service)
        limit, after_id = _page_of(0)
        items = await ledger.list_accounts(principal, after_id=after_id, limit=limit + 1)
        page, cursor = _cut(items, limit, lambda account: account.id)
        return _json(schemas.AccountPage([schemas.AccountBody.of(item) for item in page], cursor))

    @routes.get("/v1/accounts/<int:account_id>")
    async def get_account(account_id: int) -> Response:
        return _json(schemas.AccountBody.of(await ledger.get_account(_principal(service), account_id)))

    @routes.get("/v1/accounts/<int:account_id>/entries")
    async def list_entries(account_id: int) -> Response:
        principal = _principal(service)
        limit, before_seq = _page_of(SEQ_BEYOND_ALL)
        items = await ledger.list_entries(principal, account_id, before_seq=before_seq, limit=limit + 1)
        page, cursor = _cut(items, limit, lambda entry: entry.seq)
        return _json(schemas.EntryPage([schemas.EntryBody.of(item) for item in page], cursor))

    @routes.post("/v1/accounts/<int:account_id>/deposits")
    async def deposit(account_id: int) -> Response:
        principal = _principal(service)
        body = await _body(schemas.MoveBankMoney)
        outcome = await ledger.deposit(
            principal,
            account_id=account_id,
            amount=body.amount,
            key=_idempotency_key(),
            deadline=_deadline(service),
        )
        return _bank_money(outcome, deposited=True)

    @routes.post("/v1/accounts/<int:account_id>/withdrawals")
    async def withdraw(account_id: int) -> Response:
        principal = _principal(service)
        body = await _body(schemas.MoveBankMoney)
        outcome = await ledger.withdraw(
            principal,
            account_id=account_id,
            amount=body.amount,
            key=_idempotency_key(),
            deadline=_deadline(service),
        )
        return _bank_money(outcome, deposited=False)


def _add_transfers(routes: Blueprint, service: Service) -> None:
    ledger = service.ledger

    @routes.post("/v1/transfers")
    async def create_transfer() -> Response:
        principal = _principal(service)
        body = await _body(schemas.CreateTransfer)
        outcome = await ledger.create_transfer(
            principal,
            from_account_id=body.from_account_id,
            to_account_id=body.to_account_id,
            amount=body.amount,
            currency=body.currency,
            key=_idempotency_key(),
            deadline=_deadline(service),
        )
        if isinstance(outcome, Refused):
            return _refused(outcome)
        made = schemas.TransferMade(
            schemas.TransferBody.of(outcome.transfer),
            schemas.AccountBody.of(outcome.from_account),
            schemas.EntryBody.of(outcome.debit),
        )
        return _json(made, 201, replayed=outcome.replayed)

    @routes.get("/v1/transfers/<int:transfer_id>")
    async def get_transfer(transfer_id: int) -> Response:
        return _json(schemas.TransferBody.of(await ledger.get_transfer(_principal(service), transfer_id)))


def _add_probes(routes: Blueprint, service: Service) -> None:
    @routes.get("/healthz")
    async def healthz() -> Response:
        return _json({"status": "alive"})

    @routes.get("/readyz")
    async def readyz() -> Response:
        reason = await service.readiness.problem()
        if reason is None:
            return _json({"status": "ready"})
        code = Code.SHUTTING_DOWN if service.readiness.draining else Code.UNAVAILABLE
        return problem(503, code, reason, retry_after_s=1)


def _principal(service: Service) -> Principal:
    return authenticate(service.tokens, request.headers.get("Authorization"))


async def _body(kind: type[Body]) -> Body:
    raw: Any = await request.get_data()
    return schemas.decode(raw, kind)


def _given(value: str | msgspec.UnsetType) -> str | None:
    return None if value is msgspec.UNSET else value


def _idempotency_key() -> str | None:
    return request.headers.get("Idempotency-Key")


def _deadline(service: Service) -> float:
    return trio.current_time() + service.request_timeout_s


def _json(
    document: msgspec.Struct | dict[str, object], status: int = 200, *, replayed: bool = False
) -> Response:
    response = Response(schemas.encode(document), status, content_type="application/json")
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _refused(outcome: Refused) -> Response:
    response = refusal(outcome.code)
    if outcome.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _bank_money(outcome: Outcome, *, deposited: bool) -> Response:
    if isinstance(outcome, Refused):
        return _refused(outcome)
    assert isinstance(outcome, Posted)
    account = outcome.to_account if deposited else outcome.from_account
    moved = schemas.BankMoneyMoved(schemas.TransferBody.of(outcome.transfer), schemas.AccountBody.of(account))
    return _json(moved, 201, replayed=outcome.replayed)


def _page_of(first: int) -> tuple[int, int]:
    """The page's size and the number it starts from; `first` where no cursor was sent."""
    return _limit(request.args.get("limit")), _position(request.args.get("cursor"), first)


def _limit(text: str | None) -> int:
    if text is None:
        return PAGE_DEFAULT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= PAGE_MAX):
        raise InvalidArgument.field("limit", f"must be 1 to {PAGE_MAX}")
    return int(text)


def _position(cursor: str | None, first: int) -> int:
    if cursor is None:
        return first
    try:
        position = int(base64.urlsafe_b64decode(cursor.encode()))
    except ValueError:
        position = 0
    if not 0 < position <= SEQ_BEYOND_ALL:
        raise InvalidArgument.field("cursor", "must be one that a page returned")
    return position


def _cut(items: Sequence[Item], limit: int, number: Callable[[Item], int]) -> tuple[Sequence[Item], str | None]:
    """A page, and the cursor of the next one if there was one item more."""
    page = items[:limit]
    if len(items) <= limit:
        return page, None
    return page, base64.urlsafe_b64encode(str(number(page[-1])).encode()).decode()


PAGE_STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;color-scheme:light dark;margin:0}"
    "main{max-width:34rem;margin:18vh auto;padding:0 1.5rem}"
)


def _page(title: str, text: str, status: int) -> Response:
    html = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{PAGE_STYLE}</style>'
        f"<body><main><h1>{escape(title)}</h1><p>{escape(text)}</p></main></body></html>"
    )
    return Response(html, status, content_type="text/html; charset=utf-8")
