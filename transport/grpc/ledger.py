"""`transactions.v2.Ledger`: translates calls into operations of the application."""

from __future__ import annotations

from collections.abc import AsyncIterator

from application.ledger import SEQ_BEYOND_ALL
from application.service import Service
from application.transfers import Wanted
from domain.errors import ServiceError
from domain.ledger import Outcome, Posted, Refused, Undone
from transport.grpc import compat, messages  # noqa: F401 - compat goes before anything of purerpc's
from transport.grpc.asked import limit_of
from transport.grpc.call import Burst, Call
from transport.grpc.pipeline import Messages
from transport.grpc.transfers import outcome_of, stream_transfers, undone, wanted_of
from transport.grpc.watching import watch_account
from transport.paging import cut, position
from transport.refusals import REFUSALS

from proto.transactions.v2 import ledger_pb2 as pb  # isort: skip
from proto.transactions.v2.ledger_grpc import LedgerServicer  # isort: skip


class Ledger(LedgerServicer):
    """Accounts and the money that moves between them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._ledger = service.ledger
        self._transfers = service.transfers

    async def CreateAccount(
        self, input_message: pb.CreateAccountRequest, request: Call
    ) -> pb.CreateAccountResponse:
        opened = await self._ledger.create_account(
            request.principal,
            currency=input_message.currency,
            name=input_message.name,
            key=_idempotency_key(request),
        )
        if opened.replayed:
            _mark_replayed(request)
        return pb.CreateAccountResponse(account=messages.account(opened.account))

    async def GetAccount(self, input_message: pb.GetAccountRequest, request: Call) -> pb.GetAccountResponse:
        account = await self._ledger.get_account(request.principal, input_message.id)
        return pb.GetAccountResponse(account=messages.account(account))

    async def ListAccounts(
        self, input_message: pb.ListAccountsRequest, request: Call
    ) -> pb.ListAccountsResponse:
        principal, limit = request.principal, limit_of(input_message.limit)
        items = await self._ledger.list_accounts(
            principal,
            owner=input_message.owner or None,
            after_id=position(input_message.cursor or None, 0),
            limit=limit + 1,
        )
        page, cursor = cut(items, limit, lambda account: account.id)
        return pb.ListAccountsResponse(
            items=[messages.account(each) for each in page], next_cursor=cursor or ""
        )

    async def ListEntries(self, input_message: pb.ListEntriesRequest, request: Call) -> pb.ListEntriesResponse:
        principal, limit = request.principal, limit_of(input_message.limit)
        items = await self._ledger.list_entries(
            principal,
            input_message.account_id,
            before_seq=position(input_message.cursor or None, SEQ_BEYOND_ALL),
            limit=limit + 1,
        )
        page, cursor = cut(items, limit, lambda entry: entry.seq)
        return pb.ListEntriesResponse(items=[messages.entry(each) for each in page], next_cursor=cursor or "")

    async def Deposit(self, input_message: pb.DepositRequest, request: Call) -> pb.DepositResponse:
        outcome = await self._ledger.deposit(
            request.principal,
            account_id=input_message.account_id,
            amount=input_message.amount,
            key=_idempotency_key(request),
        )
        posted = _posted(outcome, request)
        return pb.DepositResponse(
            transfer=messages.transfer(posted.transfer), account=messages.account(posted.to_account)
        )

    async def Withdraw(self, input_message: pb.WithdrawRequest, request: Call) -> pb.WithdrawResponse:
        outcome = await self._ledger.withdraw(
            request.principal,
            account_id=input_message.account_id,
            amount=input_message.amount,
            key=_idempotency_key(request),
        )
        posted = _posted(outcome, request)
        return pb.WithdrawResponse(
            transfer=messages.transfer(posted.transfer), account=messages.account(posted.from_account)
        )

    async def CreateTransfer(
        self, input_message: pb.CreateTransferRequest, request: Call
    ) -> pb.CreateTransferResponse:
        wanted = Wanted(
            input_message.from_account_id,
            input_message.to_account_id,
            input_message.amount,
            input_message.currency,
            _idempotency_key(request),
        )
        posted = _posted(await self._transfers.create(request.principal, wanted), request)
        return pb.CreateTransferResponse(
            transfer=messages.transfer(posted.transfer),
            from_account=messages.account(posted.from_account),
            from_entry=messages.entry(posted.debit),
        )

    async def BatchTransfers(
        self, input_message: pb.BatchTransfersRequest, request: Call
    ) -> pb.BatchTransfersResponse:
        wanted = [wanted_of(each) for each in input_message.transfers]
        key = _idempotency_key(request)
        if not input_message.atomic:
            outcomes = await self._transfers.batch(request.principal, wanted, key=key)
            return pb.BatchTransfersResponse(outcomes=map(outcome_of, outcomes))
        bundled = await self._transfers.bundle(request.principal, wanted, key=key)
        if isinstance(bundled, Undone):
            if bundled.refusal.replayed:
                _mark_replayed(request)
            raise undone(bundled)
        return pb.BatchTransfersResponse(outcomes=map(outcome_of, bundled))

    def StreamTransfers(self, input_messages: Messages, request: Call) -> AsyncIterator[Burst]:
        return stream_transfers(self._service, input_messages, request)

    def WatchAccount(self, input_message: pb.WatchAccountRequest, request: Call) -> AsyncIterator[Burst]:
        return watch_account(self._service, input_message, request)

    async def GetTransfer(self, input_message: pb.GetTransferRequest, request: Call) -> pb.GetTransferResponse:
        transfer = await self._ledger.get_transfer(request.principal, input_message.id)
        return pb.GetTransferResponse(transfer=messages.transfer(transfer))


def _idempotency_key(call: Call) -> str | None:
    return call.header("idempotency-key")


def _posted(outcome: Outcome, call: Call) -> Posted:
    if outcome.replayed:
        _mark_replayed(call)
    if isinstance(outcome, Refused):
        raise ServiceError(outcome.code, REFUSALS[outcome.code])
    return outcome


def _mark_replayed(call: Call) -> None:
    call.set_trailer("idempotency-replayed", "true")
