"""An account followed: its committed entries in order, and each new one when it is there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import trio

from application.service import Service
from domain.errors import InvalidArgument
from transport.grpc import messages
from transport.grpc.call import Burst, Call
from transport.grpc.transfers import SESSION_CHECK_S, shutting_down

from proto.transactions.v2 import ledger_pb2 as pb  # isort: skip

PAGE = 100


async def watch_account(service: Service, request: pb.WatchAccountRequest, call: Call) -> AsyncIterator[Burst]:
    """Entries after `after_seq`, without gaps, until the client has enough, its session ends, or we drain."""
    account_id, seq = request.account_id, request.after_seq
    if seq < 0:
        raise InvalidArgument.field("after_seq", "must not be negative")
    with await service.ledger.watch(call.principal, account_id, call.bell.ring):
        rung = True
        while not call.draining:
            service.authenticator.check_session(call.principal)
            page = []
            if rung:
                page = await service.ledger.follow_entries(account_id, after_seq=seq, limit=PAGE)
            if page:
                seq = page[-1].seq
                yield Burst([pb.WatchAccountResponse(entry=messages.entry(each)) for each in page])
            rung = True
            if len(page) < PAGE:
                with trio.move_on_after(SESSION_CHECK_S) as silence:
                    await call.bell.wait()
                rung = not silence.cancelled_caught  # nothing new: only the session is asked about
    raise shutting_down()
