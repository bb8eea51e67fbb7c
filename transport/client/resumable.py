"""A call of many answers that is made again when it is lost."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

from transport import errors
from transport.client.calls import Calls, is_expiry
from transport.client.failures import CallFailed, NoAnswer, StatusError
from transport.client.retry import is_passing
from transport.client.stream import Stream


class Resumable:
    """`begin` tells the service, on each stream anew, where to go on; `is_complete` whether nothing is missing."""

    def __init__(
        self,
        calls: Calls,
        path: str,
        begin: Callable[[Stream], Awaitable[None]],
        is_complete: Callable[[], bool],
    ) -> None:
        self._calls = calls
        self._path = path
        self._begin = begin
        self._is_complete = is_complete
        self._attempts = calls.attempts(math.inf)
        self._stream: Stream | None = None
        self._token: str | None = None
        self._expired: str | None = None

    async def receive(self) -> bytes | None:
        """The next message; None after the last. Raises CallFailed."""
        while True:
            try:
                if self._stream is None:
                    self._stream = await self._open()
                message = await self._stream.receive()
                if message is None and not self._is_complete():
                    raise NoAnswer("the service ended the stream early")
            except CallFailed as failure:
                if self._is_complete():
                    return None
                await self._recover(failure)
            else:
                self._attempts.progressed()
                return message

    def cancel(self) -> None:
        """Leave it."""
        if self._stream is not None:
            self._stream.cancel()

    async def _open(self) -> Stream:
        session = self._calls.session
        if self._expired is None:
            self._token = await session.access_token()
        else:
            self._token, self._expired = await session.after(self._expired), None
        stream = await self._calls.open(self._path, self._token)
        try:
            await self._begin(stream)
        except BaseException:
            stream.cancel()
            raise
        return stream

    async def _recover(self, failure: CallFailed) -> None:
        self.cancel()
        self._stream = None
        expired = is_expiry(failure)
        if expired:
            self._expired = self._token
        # No deadline is ours here: the service's is that of a reader who has been too slow for it.
        late = isinstance(failure, StatusError) and failure.status == errors.DEADLINE_EXCEEDED
        await self._attempts.pause(failure, passing=expired or late or is_passing(failure, repeatable=True))
