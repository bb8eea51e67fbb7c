"""An account followed: its committed entries in order, through lost connections and restarts of the service."""

from __future__ import annotations

from proto.transactions.v2 import ledger_pb2, types_pb2
from transport.client.calls import Calls
from transport.client.resumable import Resumable
from transport.client.stream import Stream

PATH = "/transactions.v2.Ledger/WatchAccount"


class Watch:
    """An asynchronous iterator without end: each entry once, without gaps. Raises CallFailed."""

    def __init__(self, calls: Calls, account_id: int, after_seq: int) -> None:
        self._account_id = account_id
        self._seq = after_seq
        self._answers = Resumable(calls, PATH, self._begin, lambda: False)

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> types_pb2.Entry:
        raw = await self._answers.receive()
        assert raw is not None
        entry = ledger_pb2.WatchAccountResponse.FromString(raw).entry
        self._seq = entry.seq
        return entry

    def cancel(self) -> None:
        """Leave it."""
        self._answers.cancel()

    async def _begin(self, stream: Stream) -> None:
        await stream.send(watch_request(self._account_id, self._seq), last=True)


def watch_request(account_id: int, after_seq: int) -> bytes:
    """What the stream begins with, as it is sent."""
    return ledger_pb2.WatchAccountRequest(account_id=account_id, after_seq=after_seq).SerializeToString()
