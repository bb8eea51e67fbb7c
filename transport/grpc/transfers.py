"""Many transfers in one call: how they are asked for, and what became of each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

import trio

from application.flow import Flow
from application.service import Service
from application.transfers import Wanted
from domain.errors import Code, FieldError, ServiceError, Unavailable
from domain.ledger import Outcome, Posted, Undone
from transport.grpc.call import Burst, Call
from transport.grpc.pipeline import Messages
from transport.refusals import REFUSALS

from proto.transactions.v2 import ledger_pb2 as pb  # isort: skip

IN_FLIGHT_MAX = 4_096
"""Transfers of one stream whose outcomes have not been sent: beyond it, nothing more is read from its client."""
SESSION_CHECK_S = 1.5
"""How long a call on which nothing comes outlives the session that it was opened in."""
READ_MAX = 256
"""Transfers that are read in one go, before others have their turn."""


async def stream_transfers(service: Service, messages: Messages, call: Call) -> AsyncIterator[Burst]:
    """The outcomes of transfers that come one by one, as they are known.

    One task reads, submits and answers, in turn: while its client does not read, nothing is read from it.
    """
    principal, ended = call.principal, False
    with await service.transfers.open_flow(principal, call.bell.ring) as flow:
        while not (ended and not flow.under_way):
            service.authenticator.check_session(principal)
            await service.transfers.admit(principal)
            ended = ended or call.draining or _read(messages, flow, call)
            outcomes = flow.take()
            if outcomes:
                yield Burst(
                    [pb.StreamTransfersResponse(reference=r, outcome=outcome_of(o)) for r, o in outcomes]
                )
            elif flow.under_way or not ended:
                with trio.move_on_after(SESSION_CHECK_S):
                    await call.bell.wait()
    if call.draining:
        raise shutting_down()


def _read(messages: Messages, flow: Flow[Wanted, str], call: Call) -> bool:
    """Submit what has come, as far as there is room; returns whether that was the last."""
    with suppress(trio.WouldBlock):
        for _ in range(min(READ_MAX, IN_FLIGHT_MAX - flow.under_way)):
            try:
                message = messages.receive_nowait()
            except trio.EndOfChannel:
                return True
            flow.submit(message.reference, wanted_of(message.transfer))
        call.bell.ring()  # there may be more
    return False


def wanted_of(order: pb.TransferOrder) -> Wanted:
    """One transfer of many."""
    return Wanted(
        order.from_account_id,
        order.to_account_id,
        order.amount,
        order.currency,
        order.idempotency_key or None,
    )


def outcome_of(outcome: Outcome | ServiceError) -> pb.TransferOutcome:
    """What became of one transfer of many."""
    if isinstance(outcome, Posted):
        debit = outcome.debit
        return pb.TransferOutcome(
            transfer_id=debit.transfer_id,
            from_seq=debit.seq,
            from_balance_after=debit.balance_after,
            replayed=outcome.replayed,
        )
    if isinstance(outcome, ServiceError):
        return pb.TransferOutcome(error=_error(outcome))
    error = pb.TransferError(code=outcome.code.value, message=REFUSALS[outcome.code])
    return pb.TransferOutcome(error=error, replayed=outcome.replayed)


def undone(bundle: Undone) -> ServiceError:
    """Why no transfer of a batch was made that was to be all or nothing."""
    where, code = f"transfers[{bundle.position}]", bundle.refusal.code
    return ServiceError(
        code, f"{where}: {REFUSALS[code]}; nothing was moved", fields=(FieldError(where, REFUSALS[code]),)
    )


def _error(error: ServiceError) -> pb.TransferError:
    return pb.TransferError(code=error.code.value, message=error.message, fields=map(_field, error.fields))


def _field(problem: FieldError) -> pb.FieldError:
    return pb.FieldError(field=problem.field, message=problem.message)


def shutting_down() -> Unavailable:
    """What ends a call that has no end of its own."""
    return Unavailable("shutting down", Code.SHUTTING_DOWN, retry_after_s=1)
