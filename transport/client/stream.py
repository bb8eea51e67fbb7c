"""One call on a connection: what has come of it, and what may still go.

A stream that is received message by message holds its server back: it gives room for more when all that has come
is received. One that is awaited `whole` has a bound instead, and all the room it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.bell import Bell
from transport.client.failures import CallFailed, NoAnswer, check_status
from transport.client.headers import Fields
from transport.client.outgoing import Outgoing
from transport.grpc.framing import Deframer, frame
from transport.grpc.status import RpcFailed

if TYPE_CHECKING:
    from transport.client.connection import Connection

WINDOW_BYTES = 256 * 1024
"""What a server may send on a stream before any of it is received."""
MESSAGE_BYTES_MAX = 4 * 1024 * 1024


class Stream:
    """Made by the connection, which alone changes what has no method here.

    One task may send and one may receive. Whoever leaves it before its end must `cancel` it.
    """

    __slots__ = (
        "_connection",
        "_outgoing",
        "bell",
        "deframer",
        "ended",
        "failure",
        "fields",
        "half_closed",
        "id",
        "room",
        "unreturned",
        "whole",
    )

    def __init__(
        self, connection: Connection, outgoing: Outgoing, stream_id: int, room: int, *, whole: bool
    ) -> None:
        self._connection = connection
        self._outgoing = outgoing
        self.id = stream_id
        self.whole = whole
        self.room = room
        self.unreturned = 0
        self.fields: Fields = {}
        self.deframer = Deframer(MESSAGE_BYTES_MAX)
        self.bell = Bell()
        self.half_closed = False
        self.ended = False
        self.failure: CallFailed | None = None

    async def send(self, message: bytes, *, last: bool = False) -> None:
        """Send a message as the server gives room. To a stream that has ended it does nothing."""
        await self._outgoing.put_data(self, frame(message), last=last)

    async def close_sending(self) -> None:
        """Tell the server that there is no more."""
        await self._outgoing.put_data(self, b"", last=True)

    async def receive(self) -> bytes | None:
        """The next message; None when the server has ended the call well. Raises CallFailed."""
        while (message := self._next()) is None:
            if self.ended:
                self._check()
                return None
            self._connection.return_window(self)
            await self.bell.wait()
        return message

    def only_message(self) -> bytes:
        """The answer of a call that has exactly one and has ended. Raises CallFailed."""
        check_status(self.fields)
        message = self._next()
        if message is None or not self.deframer.is_empty:
            raise NoAnswer("the answer is not exactly one message")
        return message

    def cancel(self) -> None:
        """Leave it: tell the server, where it has not ended."""
        if not self.ended:
            self._connection.cancel(self)

    def _next(self) -> bytes | None:
        try:
            return self.deframer.next()
        except RpcFailed as problem:
            self.cancel()
            raise NoAnswer(problem.message) from None

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure
        check_status(self.fields)
        if not self.deframer.is_empty:
            raise NoAnswer("the last message is not whole")
