"""`transactions.v2.Ledger`: translates calls into operations of the application."""

from __future__ import annotations

from application.service import Service
from application.tokens import authenticate
from domain.errors import ServiceError
from domain.ledger import Outcome, Posted, Refused
from domain.policy import Principal
from transport.grpc import compat, messages  # noqa: F401 - compat goes before anything of purerpc's
from transport.grpc.call import Call
from transport.refusals import REFUSALS

from proto.transactions.v2 import ledger_pb2 as pb  # isort: skip
from proto.transactions.v2.ledger_grpc import LedgerServicer  # isort: skip


class Ledger(LedgerServicer):
    """Accounts and the money that moves between them."""

    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._tokens = service.tokens

    async def CreateAccount(
        self, input_message: pb.CreateAccountRequest, request: Call
    ) -> pb.CreateAccountResponse:
        opened = await self._ledger.create_account(
            self._principal(request),
            currency=input_message.currency,
            name=input_message.name,
            key=_idempotency_key(request),
        )
        if opened.replayed:
            _mark_replayed(request)
        return pb.CreateAccountResponse(account=messages.account(opened.account))

    async def GetAccount(self, input_message: pb.GetAccountRequest, request: Call) -> pb.GetAccountResponse:
        account = await self._ledger.get_account(self._principal(request), input_message.id)
        return pb.GetAccountResponse(account=messages.account(account))

    async def Deposit(self, input_message: pb.DepositRequest, request: Call) -> pb.DepositResponse:
        outcome = await self._ledger.deposit(
            self._principal(request),
            account_id=input_message.account_id,
            amount=input_message.amount,
            key=_idempotency_key(request),
        )
        posted = _posted(outcome, request)
        return pb.DepositResponse(
            transfer=messages.transfer(posted.transfer), account=messages.account(posted.to_account)
        )

    async def CreateTransfer(
        self, input_message: pb.CreateTransferRequest, request: Call
    ) -> pb.CreateTransferResponse:
        outcome = await self._ledger.create_transfer(
            self._principal(request),
            from_account_id=input_message.from_account_id,
            to_account_id=input_message.to_account_id,
            amount=input_message.amount,
            currency=input_message.currency,
            key=_idempotency_key(request),
        )
        posted = _posted(outcome, request)
        return pb.CreateTransferResponse(
            transfer=messages.transfer(posted.transfer),
            from_account=messages.account(posted.from_account),
            from_entry=messages.entry(posted.debit),
        )

    async def GetTransfer(self, input_message: pb.GetTransferRequest, request: Call) -> pb.GetTransferResponse:
        transfer = await self._ledger.get_transfer(self._principal(request), input_message.id)
        return pb.GetTransferResponse(transfer=messages.transfer(transfer))

    def _principal(self, call: Call) -> Principal:
        return authenticate(self._tokens, call.header("authorization"))


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
