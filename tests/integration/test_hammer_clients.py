"""The hammer's clients against servers that are not ours: grpcio's, and Hypercorn with an app of its own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from contextlib import asynccontextmanager, contextmanager

import grpc
import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from cli.hammer.grpc_client import GrpcFailed, open_grpc
from cli.hammer.http_client import HttpClient
from cli.hammer.load import run_load
from cli.hammer.plan import Plan
from cli.hammer.senders import METHOD
from cli.hammer.tally import OK, Tally
from proto.transactions.v2.ledger_pb2 import CreateTransferRequest
from tests.support.service import free_port

PLAN = Plan("secret", list(range(1, 11)), "USD", hot=True)


class Ledger:
    """Keeps what it was sent, and answers as the message's amount says."""

    def __init__(self) -> None:
        self.received: list[CreateTransferRequest] = []
        self.metadata: list[dict[str, str]] = []

    def create_transfer(self, message: CreateTransferRequest, context: grpc.ServicerContext) -> bytes:
        self.received.append(message)
        self.metadata.append(dict(context.invocation_metadata()))
        if message.amount == 9:
            context.set_trailing_metadata((("error-code", "insufficient_funds"),))
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not enough")
        if message.amount == 500:
            context.send_initial_metadata((("x-long", "y" * 9_000),))
            context.set_trailing_metadata((("x-longer", "z" * 30_000),))  # more than one frame
            return b"w" * 200_000
        return message.SerializeToString()


@contextmanager
def grpcio_server(port: int = 0, **options: int) -> Iterator[tuple[int, Ledger, grpc.Server]]:
    ledger = Ledger()
    handler = grpc.unary_unary_rpc_method_handler(
        ledger.create_transfer, request_deserializer=CreateTransferRequest.FromString
    )
    handlers = grpc.method_handlers_generic_handler("transactions.v2.Ledger", {"CreateTransfer": handler})
    server = grpc.server(
        futures.ThreadPoolExecutor(4),
        handlers=(handlers,),
        options=[("grpc.so_reuseport", 0), *((f"grpc.{name}", value) for name, value in options.items())],
    )
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield port, ledger, server
    finally:
        server.stop(0).wait()


async def grpc_call(channel, amount: int, **metadata: str) -> dict[str, str]:
    message = CreateTransferRequest(from_account_id=1, to_account_id=2, amount=amount, currency="USD")
    block = channel.header_block("host:1", METHOD, metadata)
    with trio.fail_after(10):
        return await channel.call(block, message.SerializeToString())


async def grpc_load(port: int, connections: int, plan: Plan = PLAN, **options) -> Tally:
    tally = Tally()
    await run_load(
        plan, protocol="grpc", host="127.0.0.1", port=port, connections=connections, seconds=0.3,
        tally=tally, **options,
    )  # fmt: skip
    return tally


async def test_grpcio_gets_message_and_metadata():
    with grpcio_server() as (port, ledger, _):
        async with open_grpc("127.0.0.1", port) as channel:
            trailers = await grpc_call(channel, 5, authorization="Bearer " + "t" * 300)
    assert (trailers[":status"], trailers["grpc-status"]) == ("200", "0")
    assert (ledger.received[0].to_account_id, ledger.received[0].amount) == (2, 5)
    assert ledger.metadata[0]["authorization"] == "Bearer " + "t" * 300


async def test_grpcio_refusals_come_with_their_trailers():
    with grpcio_server() as (port, _, _):
        async with open_grpc("127.0.0.1", port) as channel:
            trailers = await grpc_call(channel, 9)
    assert (trailers["grpc-status"], trailers["error-code"]) == ("9", "insufficient_funds")


async def test_grpcio_answers_of_many_frames_are_passed_over_whole():
    with grpcio_server() as (port, _, _):
        async with open_grpc("127.0.0.1", port) as channel:
            for _ in range(10):  # 2 MB in all: the connection's window is opened again on the way
                trailers = await grpc_call(channel, 500)
                assert trailers["grpc-status"] == "0"
                assert (len(trailers["x-long"]), len(trailers["x-longer"])) == (9_000, 30_000)


async def test_grpcio_load_reaches_the_server_once_each_with_keys():
    with grpcio_server() as (port, ledger, _):
        tally = await grpc_load(port, 16, Plan("secret", [1, 2, 3], "USD", hot=True, keys="k"), channels=3)
    assert tally.lost == 0
    assert tally.outcomes[OK] == len(ledger.received) > 20
    assert {each.from_account_id for each in ledger.received} == {1}
    assert len({each["idempotency-key"] for each in ledger.metadata}) == len(ledger.metadata)
    assert ledger.metadata[0]["authorization"] == "Bearer secret"


async def test_grpcio_refusals_of_streams_are_lost_and_never_carried_out():
    # gRPC core frees a stream's place a moment after its trailers, so that a client within the limit is now
    # and then refused (grpcio's own client too); that ours is within it, the unit tests prove.
    with grpcio_server(max_concurrent_streams=2) as (port, ledger, _):
        tally = await grpc_load(port, 20, channels=1)
    assert tally.outcomes[OK] == len(ledger.received) > 20
    assert set(tally.outcomes) <= {OK, "transport: the server reset the stream with code 7"}
    assert tally.lost == tally.outcomes.total() - tally.outcomes[OK]


async def test_a_channel_finds_the_server_again_after_its_restart():
    with grpcio_server() as (port, _, server):
        async with open_grpc("127.0.0.1", port) as channel:
            assert (await grpc_call(channel, 1))["grpc-status"] == "0"
            await trio.to_thread.run_sync(server.stop(0).wait)
            with pytest.raises(GrpcFailed):
                await grpc_call(channel, 1)
            with grpcio_server(port):
                assert (await grpc_call(channel, 1))["grpc-status"] == "0"


async def test_a_server_that_goes_away_fails_calls_and_not_the_load():
    with grpcio_server() as (port, _, server):
        tally, stop = Tally(), trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                lambda: run_load(
                    PLAN, protocol="grpc", host="127.0.0.1", port=port, connections=8, seconds=5,
                    tally=tally, stop=stop,
                )
            )  # fmt: skip
            await trio.sleep(0.2)
            await trio.to_thread.run_sync(server.stop(0).wait)
            await trio.sleep(0.2)
            stop.set()
    assert tally.outcomes[OK] > 20
    assert tally.lost >= 8
    assert tally.outcomes.total() == tally.outcomes[OK] + tally.lost


async def test_nobody_listening_is_an_os_error_for_both_protocols():
    for protocol in ("http", "grpc"):
        with pytest.raises(OSError, match="failed"):
            await run_load(
                PLAN, protocol=protocol, host="127.0.0.1", port=free_port(), connections=2, seconds=1,
                tally=Tally(),
            )  # fmt: skip


async def app(scope, receive, send) -> None:
    """Answers with what it was sent: with a length, or on /chunked in chunks; on /close it ends the connection."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message.get("more_body", False)
    headers = [(b"content-type", b"application/json")]
    if scope["path"] != "/chunked":
        headers.append((b"content-length", b"%d" % len(body)))
    if scope["path"] == "/close":
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    half = len(body) // 2
    await send({"type": "http.response.body", "body": body[:half], "more_body": True})
    await send({"type": "http.response.body", "body": body[half:]})


@asynccontextmanager
async def hypercorn_server():
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        (bind,) = await nursery.start(
            lambda task_status: serve(app, config, shutdown_trigger=stop.wait, task_status=task_status)
        )
        yield int(bind.rpartition(":")[2])
        stop.set()


@pytest.mark.parametrize("path", ["/plain", "/chunked", "/close"])
async def test_hypercorn_answers_are_read_one_after_the_other(path):
    async with hypercorn_server() as port, HttpClient("127.0.0.1", port) as client:
        with trio.fail_after(10):
            for size in (0, 1, 2, 100, 60_000):
                assert await client.request("POST", path, b"x" * size) == (201, b"x" * size)


async def test_hypercorn_takes_a_load_and_every_transfer_is_acknowledged():
    async with hypercorn_server() as port:
        tally = Tally()
        await run_load(
            PLAN, protocol="http", host="127.0.0.1", port=port, connections=8, seconds=0.3, tally=tally
        )
    assert tally.lost == 0
    assert tally.outcomes[OK] == len(tally.latencies_us) > 20


async def test_a_grpc_client_at_an_http_server_fails_with_a_reason():
    async with raw_server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        with pytest.raises(GrpcFailed, match="does not speak HTTP/2"):
            async with open_grpc("127.0.0.1", port):
                pass


@asynccontextmanager
async def raw_server(response: bytes):
    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some(1_000)
        await stream.send_all(response)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()
