"""Listening that loses nobody: who is connected when the listeners close is still served.

A listener that is closed resets everybody who waits in its queue, to whom the kernel has said that they are connected
and who may have sent a request by now (listen(2), accept(2)).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack

import trio

Handler = Callable[[trio.SocketStream], Awaitable[None]]


async def serve_until(
    stop: trio.Event, handler: Handler, listeners: Sequence[trio.SocketListener], connections: trio.Nursery
) -> None:
    """Have everybody served who comes until then, in `connections`; closes the listeners."""
    with ExitStack() as stack:
        queues = [stack.enter_context(_same_queue(listener)) for listener in listeners]
        async with trio.open_nursery() as accepting:

            async def accept() -> None:
                await trio.serve_listeners(handler, list(listeners), handler_nursery=connections)

            accepting.start_soon(accept)
            await stop.wait()
            accepting.cancel_scope.cancel()
        for queue in queues:
            for stream in _waiting(queue):
                connections.start_soon(handler, stream)


def _same_queue(listener: trio.SocketListener) -> socket.socket:
    return socket.socket(fileno=os.dup(listener.socket.fileno()))


def _waiting(queue: socket.socket) -> Iterator[trio.SocketStream]:
    queue.setblocking(False)
    while True:
        try:
            accepted, _ = queue.accept()
        except OSError:  # nobody, or nobody any more
            return
        yield trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
