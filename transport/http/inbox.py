"""What has come for the app of a request: bounded, but for the news that its client is gone.

In Hypercorn's own queue that news waits for room like everything else. An app that does not read for a while, since
what it does with a request takes longer than the request takes to come, would not only hear it late: the task that is
to put it there may be the app's own, when it finds that its answer is not read.
"""

from __future__ import annotations

from collections import deque

import trio

from transport.asgi import Message

DISCONNECT = "http.disconnect"


class Inbox:
    """Events, of which at most `size_max` wait; one that says that the client is gone overtakes them."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._events: deque[Message] = deque()
        self._gone: Message | None = None
        self._room = trio.lowlevel.ParkingLot()
        self._news = trio.lowlevel.ParkingLot()

    async def put(self, event: Message) -> None:
        """Add an event when there is room for it; of a client that is gone, nothing more is taken."""
        if event["type"] == DISCONNECT:
            self._gone = event
            self._room.unpark_all()
        else:
            while self._gone is None and len(self._events) >= self._size_max:
                await self._room.park()
            if self._gone is None:
                self._events.append(event)
        self._news.unpark_all()

    async def receive(self) -> Message:
        """The next event, when there is one; no checkpoint if there is, as of those there are few."""
        while self._gone is None and not self._events:
            await self._news.park()
        if self._gone is not None:
            return self._gone
        self._room.unpark()
        return self._events.popleft()
