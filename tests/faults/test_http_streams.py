"""Answers without a length over HTTP/1.1: they may last, and neither side's silence goes unnoticed."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from tests.support.wire import Wire
from transport.http.limits import HttpLimits
from transport.http.server import HttpServer

LIMITS = HttpLimits(keep_alive_s=0.4, request_s=0.4, send_s=0.4)
TIMEOUT_S = 20
START = {"type": "http.response.start", "status": 200, "headers": []}
END = {"type": "http.response.body"}


def line(text: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": text, "more_body": True}


class Bench:
    """A server whose app does what the test says."""

    def __init__(self) -> None:
        self.do: Callable[[Any, Any], Awaitable[None]]
        self.over = trio.Event()
        self.server = HttpServer(self, "127.0.0.1:0", grace_s=1, limits=LIMITS)  # type: ignore[arg-type]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.do(receive, send)
        finally:
            self.over.set()

    async def ask(self, *headers: str) -> Wire:
        return await trio.to_thread.run_sync(functools.partial(Wire, self.server.port, "GET /", *headers))


@pytest.fixture
async def bench(nursery: trio.Nursery):
    bench = Bench()
    await nursery.start(bench.server.run)
    with trio.fail_after(TIMEOUT_S):
        yield bench
    nursery.cancel_scope.cancel()


async def gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def test_a_stream_outlasts_the_time_for_a_request(bench):
    more = trio.Event()

    async def do(receive: Any, send: Any) -> None:
        await send(START)
        await more.wait()
        await send(line(b"at last"))
        await send(END)

    bench.do = do
    with await bench.ask() as wire:
        status, _ = await trio.to_thread.run_sync(wire.head)
        assert status == 200  # before there is any line
        await trio.sleep(2 * LIMITS.request_s)
        more.set()
        assert await trio.to_thread.run_sync(wire.chunk) == b"at last"
        assert await trio.to_thread.run_sync(wire.chunk) == b""
        wire.connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")  # the connection is good for another
        assert (await trio.to_thread.run_sync(wire.head))[0] == 200


async def test_a_stream_begins_within_the_time_for_a_request(bench):
    async def do(receive: Any, send: Any) -> None:
        await gone(receive)

    bench.do = do
    with await bench.ask() as wire:
        assert await trio.to_thread.run_sync(wire.connection.recv, 1) == b""
    await bench.over.wait()


async def test_an_answer_with_a_length_ends_within_the_time_for_a_request(bench):
    async def do(receive: Any, send: Any) -> None:
        await send({**START, "headers": [(b"content-length", b"9")]})
        await send(line(b"x"))
        await gone(receive)

    bench.do = do
    with await bench.ask() as wire:
        await trio.to_thread.run_sync(wire.head)
        assert await trio.to_thread.run_sync(wire.connection.recv, 9) == b""
    await bench.over.wait()


async def test_a_client_that_leaves_a_silent_stream_is_noticed(bench):
    async def do(receive: Any, send: Any) -> None:
        await send(START)
        await gone(receive)

    bench.do = do
    with await bench.ask() as wire:
        await trio.to_thread.run_sync(wire.head)
    await bench.over.wait()


async def test_tcp_finds_out_whether_the_client_of_a_silent_stream_is_there(bench):
    """Linux tells of a socket's timer; one that is armed for keep-alive has the time until the first probe."""

    async def do(receive: Any, send: Any) -> None:
        await send(START)
        await gone(receive)

    bench.do = do
    with await bench.ask() as wire:
        await trio.to_thread.run_sync(wire.head)
        ours = wire.connection.getsockname()[1]
        sockets = [line.split() for line in (await trio.Path("/proc/net/tcp").read_text()).splitlines()]
        ends = f":{bench.server.port:04X}", f":{ours:04X}"
        (timer,) = [each[5] for each in sockets if (each[1][-5:], each[2][-5:]) == ends]
        assert timer.startswith("02:")  # keep-alive
    await bench.over.wait()


async def test_a_client_that_does_not_read_its_stream_is_cut_off(bench):
    async def do(receive: Any, send: Any) -> None:
        async with trio.open_nursery() as nursery:

            async def until_gone() -> None:
                await gone(receive)
                nursery.cancel_scope.cancel()

            nursery.start_soon(until_gone)
            await send(START)
            while True:
                await send(line(b"x" * 100_000))

    bench.do = do
    with await bench.ask():
        await bench.over.wait()


async def test_an_app_that_does_not_read_hears_that_its_client_does_not_either(bench):
    """Its own sending finds that out, and has to tell it while everything that came before is still unread."""
    heard = trio.Event()

    async def do(receive: Any, send: Any) -> None:
        await send(START)
        for _ in range(1_000):
            await send(line(b"x" * 100_000))
        assert (await receive())["type"] == "http.disconnect"
        heard.set()

    bench.do = do
    with await bench.ask("Content-Length: 9000000") as wire:
        wire.connection.setblocking(False)
        while not heard.is_set():
            try:
                wire.connection.send(b"y" * 100_000)
            except BlockingIOError:
                await trio.sleep(0.01)
            except (BrokenPipeError, ConnectionResetError):
                await heard.wait()
