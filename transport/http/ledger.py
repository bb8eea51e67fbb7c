"""v1 of the ledger: accounts, entries, transfers."""

from __future__ import annotations

from http import HTTPStatus

from quart import request

from application.ledger import SEQ_BEYOND_ALL
from application.transfers import Wanted
from domain.ledger import Outcome, Posted, Refused
from domain.policy import Operation
from transport.answer import Answer
from transport.http import schemas
from transport.http.asked import Asked
from transport.http.endpoint import Endpoints
from transport.http.pages import page_of
from transport.http.problems import refusal
from transport.paging import cut

PAGED = ("limit", "cursor")


def add_accounts(endpoint: Endpoints) -> None:
    """Accounts, opened and read."""
    ledger = endpoint.service.ledger

    @endpoint(
        "POST",
        "/v1/accounts",
        Operation.CREATE_ACCOUNT,
        takes=schemas.CreateAccount,
        gives=schemas.AccountBody,
        status=HTTPStatus.CREATED,
        moves_money=True,
    )
    async def create_account(asked: Asked, body: schemas.CreateAccount) -> schemas.AccountBody:
        opened = await ledger.create_account(
            asked.principal, currency=body.currency, name=body.name, key=asked.idempotency_key
        )
        asked.replayed = opened.replayed
        return schemas.AccountBody.of(opened.account)

    @endpoint(
        "GET", "/v1/accounts", Operation.LIST_ACCOUNTS, gives=schemas.AccountPage, query=("owner", *PAGED)
    )
    async def list_accounts(asked: Asked) -> schemas.AccountPage:
        limit, after_id = page_of(0)
        owner = request.args.get("owner")
        items = await ledger.list_accounts(asked.principal, owner=owner, after_id=after_id, limit=limit + 1)
        page, cursor = cut(items, limit, lambda account: account.id)
        return schemas.AccountPage([schemas.AccountBody.of(item) for item in page], cursor)

    @endpoint("GET", "/v1/accounts/<int:account_id>", Operation.GET_ACCOUNT, gives=schemas.AccountBody)
    async def get_account(asked: Asked, account_id: int) -> schemas.AccountBody:
        return schemas.AccountBody.of(await ledger.get_account(asked.principal, account_id))

    @endpoint(
        "GET",
        "/v1/accounts/<int:account_id>/entries",
        Operation.LIST_ENTRIES,
        gives=schemas.EntryPage,
        query=PAGED,
    )
    async def list_entries(asked: Asked, account_id: int) -> schemas.EntryPage:
        limit, before_seq = page_of(SEQ_BEYOND_ALL)
        items = await ledger.list_entries(asked.principal, account_id, before_seq=before_seq, limit=limit + 1)
        page, cursor = cut(items, limit, lambda entry: entry.seq)
        return schemas.EntryPage([schemas.EntryBody.of(item) for item in page], cursor)


def add_bank_money(endpoint: Endpoints) -> None:
    """Money brought in and taken out by bankers."""
    ledger = endpoint.service.ledger

    @endpoint(
        "POST",
        "/v1/accounts/<int:account_id>/deposits",
        Operation.DEPOSIT,
        takes=schemas.MoveBankMoney,
        gives=schemas.BankMoneyMoved,
        status=HTTPStatus.CREATED,
        moves_money=True,
    )
    async def deposit(
        asked: Asked, account_id: int, body: schemas.MoveBankMoney
    ) -> schemas.BankMoneyMoved | Answer:
        outcome = await ledger.deposit(
            asked.principal,
            account_id=account_id,
            amount=body.amount,
            key=asked.idempotency_key,
        )
        return _moved(asked, outcome, into=True)

    @endpoint(
        "POST",
        "/v1/accounts/<int:account_id>/withdrawals",
        Operation.WITHDRAW,
        takes=schemas.MoveBankMoney,
        gives=schemas.BankMoneyMoved,
        status=HTTPStatus.CREATED,
        moves_money=True,
    )
    async def withdraw(
        asked: Asked, account_id: int, body: schemas.MoveBankMoney
    ) -> schemas.BankMoneyMoved | Answer:
        outcome = await ledger.withdraw(
            asked.principal,
            account_id=account_id,
            amount=body.amount,
            key=asked.idempotency_key,
        )
        return _moved(asked, outcome, into=False)


def _moved(asked: Asked, outcome: Outcome, *, into: bool) -> schemas.BankMoneyMoved | Answer:
    asked.replayed = outcome.replayed
    if isinstance(outcome, Refused):
        return refusal(outcome.code)
    assert isinstance(outcome, Posted)
    account = outcome.to_account if into else outcome.from_account
    return schemas.BankMoneyMoved(schemas.TransferBody.of(outcome.transfer), schemas.AccountBody.of(account))


def add_transfers(endpoint: Endpoints) -> None:
    """Transfers, made and read."""
    ledger, transfers = endpoint.service.ledger, endpoint.service.transfers

    @endpoint(
        "POST",
        "/v1/transfers",
        Operation.CREATE_TRANSFER,
        takes=schemas.CreateTransfer,
        gives=schemas.TransferMade,
        status=HTTPStatus.CREATED,
        moves_money=True,
        short=True,
    )
    async def create_transfer(asked: Asked, body: schemas.CreateTransfer) -> schemas.TransferMade | Answer:
        wanted = Wanted(
            body.from_account_id, body.to_account_id, body.amount, body.currency, asked.idempotency_key
        )
        outcome = await transfers.create(asked.principal, wanted)
        asked.replayed = outcome.replayed
        if isinstance(outcome, Refused):
            return refusal(outcome.code)
        return schemas.TransferMade(
            schemas.TransferBody.of(outcome.transfer),
            schemas.AccountBody.of(outcome.from_account),
            schemas.EntryBody.of(outcome.debit),
        )

    @endpoint("GET", "/v1/transfers/<int:transfer_id>", Operation.GET_TRANSFER, gives=schemas.TransferBody)
    async def get_transfer(asked: Asked, transfer_id: int) -> schemas.TransferBody:
        return schemas.TransferBody.of(await ledger.get_transfer(asked.principal, transfer_id))
