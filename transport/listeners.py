"""Where a server listens: on an address, or on sockets that its process shares with others."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import trio

BACKLOG = 1_024


async def open_listeners(address: str, shared: Sequence[socket.socket] = ()) -> list[trio.SocketListener]:
    """On the `shared` sockets, where there are any: their duplicates, so that it may be asked again."""
    if shared:
        return [trio.SocketListener(trio.socket.from_stdlib_socket(each.dup())) for each in shared]
    host, _, port = address.rpartition(":")
    return await trio.open_tcp_listeners(int(port), host=host.strip("[]"), backlog=BACKLOG)
