"""Nobody who is connected when the listeners close is reset."""

from __future__ import annotations

import socket

import pytest
import trio
import trio.testing

from transport.http.listening import serve_until

QUEUED = 20


async def test_who_waits_in_the_queue_when_the_listeners_close_is_served():
    served: list[bytes] = []

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            served.append(await stream.receive_some(10))
            await stream.send_all(b"served")

    stop = trio.Event()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = listeners[0].socket.getsockname()
    async with trio.open_nursery() as connections:
        connections.start_soon(serve_until, stop, answer, listeners, connections)
        await trio.testing.wait_all_tasks_blocked()
        stop.set()
        # Without a checkpoint: the kernel queues them, and nobody has accepted yet.
        clients = [socket.create_connection(address, 5) for _ in range(QUEUED)]
        for client in clients:
            client.sendall(b"request")
    assert served == [b"request"] * QUEUED
    for client in clients:
        with client:
            assert client.recv(10) == b"served"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 5)
