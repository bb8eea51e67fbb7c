"""Many transfers on one call: orders in, outcomes out, each order carried out once.

Every order has a key, so those whose outcome is not known when the call is lost are sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing, nullcontext
from typing import NamedTuple

import trio

from proto.transactions.v2 import ledger_pb2 as pb
from transport.client.calls import Calls, new_key
from transport.client.resumable import Resumable
from transport.client.stream import Stream

PATH = "/transactions.v2.Ledger/StreamTransfers"
IN_FLIGHT_MAX = 1_000
"""Orders whose outcome is not known; beyond it no more are asked for."""


class _Sent(NamedTuple):
    """An order as it goes over the wire, and the reference that its sender has given it."""

    message: bytes
    reference: str


class TransferStream:
    """An asynchronous iterator of outcomes, in the order in which they come. Raises CallFailed.

    `nursery` is for the task that sends; `read` must run in another.
    """

    def __init__(self, calls: Calls, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._answers = Resumable(calls, PATH, self._begin, self._is_complete)
        self._number = 0
        self._unanswered: dict[str, _Sent] = {}
        self._unsent: deque[_Sent] = deque()
        self._to_send = trio.lowlevel.ParkingLot()
        self._answered = trio.lowlevel.ParkingLot()
        self._exhausted = False

    async def read(self, orders: AsyncIterable[pb.StreamTransfersRequest]) -> None:
        """Take all orders, as far as there is room for them."""
        async with aclosing(orders) if isinstance(orders, AsyncGenerator) else nullcontext():
            async for order in orders:
                self._add(order)
                while len(self._unanswered) >= IN_FLIGHT_MAX:
                    await self._answered.park()
        self._exhausted = True
        self._to_send.unpark_all()

    def __aiter__(self) -> TransferStream:
        return self

    async def __anext__(self) -> pb.StreamTransfersResponse:
        while (raw := await self._answers.receive()) is not None:
            response = pb.StreamTransfersResponse.FromString(raw)
            sent = self._unanswered.pop(response.reference, None)
            if sent is not None:
                self._answered.unpark()
                response.reference = sent.reference
                return response
        raise StopAsyncIteration

    def cancel(self) -> None:
        """Leave it; what has been sent may be carried out."""
        self._answers.cancel()

    def _add(self, order: pb.StreamTransfersRequest) -> None:
        # Theirs need not be unique, so on the wire every order has a reference of ours.
        self._number += 1
        numbered = pb.StreamTransfersRequest(reference=str(self._number), transfer=order.transfer)
        numbered.transfer.idempotency_key = order.transfer.idempotency_key or new_key()
        sent = _Sent(numbered.SerializeToString(), order.reference)
        self._unanswered[numbered.reference] = sent
        self._unsent.append(sent)
        self._to_send.unpark_all()

    async def _begin(self, stream: Stream) -> None:
        self._unsent = deque(self._unanswered.values())
        self._nursery.start_soon(self._send, stream)
        self._to_send.unpark_all()  # lets the sender of the stream before end

    async def _send(self, stream: Stream) -> None:
        while not stream.ended:
            if self._unsent:
                await stream.send(self._unsent.popleft().message)
            elif self._exhausted:
                await stream.close_sending()
                return
            else:
                await self._to_send.park()

    def _is_complete(self) -> bool:
        return self._exhausted and not self._unanswered
