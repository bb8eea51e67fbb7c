"""The client's channel against a server that is not ours: grpcio's."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager

import pytest
import trio

from proto.transactions.v2 import ledger_pb2 as pb
from tests.support.grpcio_server import CREATE_TRANSFER, STREAM_TRANSFERS, WATCH_ACCOUNT, grpcio_server
from tests.support.service import free_port
from tests.support.smtp import make_certificate
from transport.client.background import open_background
from transport.client.channel import Channel, open_channel
from transport.client.failures import NoAnswer, NotSent, StatusError
from transport.client.stream import Stream


async def call(channel: Channel, amount: int, **metadata: str) -> Stream:
    message = pb.CreateTransferRequest(from_account_id=1, to_account_id=2, amount=amount, currency="USD")
    block = channel.header_block(CREATE_TRANSFER, metadata)
    with trio.fail_after(10):
        return await channel.call(block, message.SerializeToString())


async def test_the_server_gets_message_and_metadata_and_its_answer_comes_back():
    with grpcio_server() as (port, ledger, _):
        async with open_channel("127.0.0.1", port) as channel:
            ended = await call(channel, 5, authorization="Bearer " + "t" * 300)
    assert (ended.fields[":status"], ended.fields["grpc-status"]) == ("200", "0")
    assert (ledger.received[0].to_account_id, ledger.received[0].amount) == (2, 5)
    assert ledger.metadata[0]["authorization"] == "Bearer " + "t" * 300
    assert pb.CreateTransferRequest.FromString(ended.only_message()) == ledger.received[0]


async def test_refusals_come_with_their_trailers():
    with grpcio_server() as (port, _, _):
        async with open_channel("127.0.0.1", port) as channel:
            ended = await call(channel, 9)
    with pytest.raises(StatusError) as caught:
        ended.only_message()
    assert (caught.value.status, caught.value.code) == (9, "insufficient_funds")
    assert caught.value.message == "not enough"


async def test_answers_of_many_frames_come_whole():
    with grpcio_server() as (port, _, _):
        async with open_channel("127.0.0.1", port) as channel:
            for _ in range(10):  # 2 MB in all: the connection's window is opened again on the way
                ended = await call(channel, 500)
                assert ended.only_message() == b"w" * 200_000
                assert (len(ended.fields["x-long"]), len(ended.fields["x-longer"])) == (9_000, 30_000)


async def test_a_stream_goes_both_ways_at_once():
    numbers = [str(number) for number in range(5_000)]
    received: list[str] = []
    with grpcio_server() as (port, _, _):
        async with open_channel("127.0.0.1", port) as channel:
            stream = await channel.open(channel.header_block(STREAM_TRANSFERS, {}))

            async def send() -> None:
                for number in numbers:
                    await stream.send(pb.StreamTransfersRequest(reference=number).SerializeToString())
                await stream.close_sending()

            with trio.fail_after(20):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(send)
                    while (message := await stream.receive()) is not None:
                        received.append(pb.StreamTransfersResponse.FromString(message).reference)
    assert received == numbers


async def test_a_slow_reader_holds_the_server_back_and_nobody_else():
    with grpcio_server() as (port, ledger, _):
        async with open_channel("127.0.0.1", port) as channel:
            stream = await channel.open(channel.header_block(WATCH_ACCOUNT, {}))
            await stream.send(pb.WatchAccountRequest(account_id=1).SerializeToString(), last=True)
            before = -1
            while ledger.counted != before:  # until it is held back
                before = ledger.counted
                assert (await call(channel, 1)).fields["grpc-status"] == "0"
                await trio.sleep(0.2)
            seq = 0
            with trio.fail_after(20):
                while seq <= before:
                    seq += 1
                    message = await stream.receive()
                    assert pb.WatchAccountResponse.FromString(message).entry.seq == seq
            assert ledger.counted > before
            stream.cancel()
            with trio.fail_after(5):
                while not ledger.cancelled:
                    await trio.sleep(0.01)


async def test_a_channel_finds_the_server_again_after_its_restart():
    with grpcio_server() as (port, _, server):
        async with open_channel("127.0.0.1", port) as channel:
            assert (await call(channel, 1)).fields["grpc-status"] == "0"
            await trio.to_thread.run_sync(server.stop(0).wait)
            with pytest.raises(NotSent, match="attempts to connect"):
                await call(channel, 1)
            with grpcio_server(port):
                assert (await call(channel, 1)).fields["grpc-status"] == "0"


async def test_calls_go_over_tls(tmp_path):
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context(cafile=certificate)
    with grpcio_server(tls=(key.read_bytes(), certificate.read_bytes())) as (port, ledger, _):
        async with open_background() as nursery:
            channel = Channel.to("127.0.0.1", port, nursery, context)
            assert (await call(channel, 5)).fields["grpc-status"] == "0"
    assert ledger.received[0].amount == 5


async def test_a_certificate_nobody_vouches_for_is_refused_before_anything_is_sent(tmp_path):
    certificate, key = make_certificate(tmp_path)
    with grpcio_server(tls=(key.read_bytes(), certificate.read_bytes())) as (port, ledger, _):
        async with open_background() as nursery:
            channel = Channel.to("127.0.0.1", port, nursery, ssl.create_default_context())
            with pytest.raises(NotSent, match="CERTIFICATE_VERIFY_FAILED"):
                await call(channel, 5)
    assert ledger.received == []


async def test_nobody_listening_is_said_as_it_is():
    async with open_channel("127.0.0.1", free_port()) as channel:
        with pytest.raises(NotSent, match="attempts to connect"):
            await channel.connect()


async def test_an_http_server_fails_with_a_reason():
    async with (
        raw_server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port,
        open_channel("127.0.0.1", port) as channel,
    ):
        with pytest.raises(NoAnswer, match="does not speak HTTP/2"):
            await channel.connect()


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
