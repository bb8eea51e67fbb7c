"""The hammer's clients against servers that are not ours: grpcio's, and Hypercorn with an app of its own."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from cli.hammer.http_client import HttpClient
from cli.hammer.load import run_load
from cli.hammer.plan import Plan
from cli.hammer.tally import OK, Tally
from tests.support.grpcio_server import grpcio_server
from tests.support.service import free_port
from transport.client.failures import NotSent

PLAN = Plan("secret", list(range(1, 11)), "USD", hot=True)


async def grpc_load(port: int, connections: int, plan: Plan = PLAN, **options) -> Tally:
    tally = Tally()
    await run_load(
        plan, protocol="grpc", host="127.0.0.1", port=port, connections=connections, seconds=0.3,
        tally=tally, **options,
    )  # fmt: skip
    return tally


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


@pytest.mark.parametrize(("protocol", "failure"), [("http", OSError), ("grpc", NotSent)])
async def test_nobody_listening_fails_before_the_load(protocol, failure):
    with pytest.raises(failure, match="attempts to connect"):
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
