"""The gRPC port as its clients meet it: over TLS, and with compressed messages."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from pathlib import Path

import grpc
import grpc.aio
import pytest

from proto.transactions.v2 import ledger_pb2 as pb
from tests.support.ledger_calls import PREFIX, LedgerCalls, order
from tests.support.service import ServiceProcess, open_accounts
from tests.support.smtp import make_certificate


@pytest.fixture(scope="module")
def secured(postgres_server, migrated_template, redis_server, tmp_path_factory):
    """A service with a certificate, and the certificate's file."""
    postgres_server.create_database("secured", template=migrated_template)
    certificate, key = make_certificate(tmp_path_factory.mktemp("certificate"))
    service = ServiceProcess(
        tmp_path_factory.mktemp("secured"),
        postgres_server.url("secured"),
        redis_server.url.replace("db=0", "db=2"),
        GRPC_TLS_CERTIFICATE=str(certificate),
        GRPC_TLS_KEY=str(key),
    ).start()
    yield service, Path(certificate)
    assert service.stop() == 0, service.log.read_text()


def test_calls_and_streams_go_over_tls(secured):
    service, certificate = secured
    name = service.register()
    a, b = open_accounts(service.database_url, name, 2, overdraft=10**6)
    credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
    with grpc.secure_channel(
        service.grpc, credentials, [("grpc.ssl_target_name_override", "localhost")]
    ) as channel:
        calls = LedgerCalls(channel, service.login(name))
        assert len(calls.batch([order(a, b)] * 1_000).outcomes) == 1_000
        requests = (pb.StreamTransfersRequest(reference=str(n), transfer=order(a, b)) for n in range(500))
        assert {each.reference for each in calls.stream(requests)} == {str(n) for n in range(500)}
        watch = calls.watch(b, after_seq=1_499)
        assert next(watch).entry.seq == 1_500
        watch.cancel()


def test_a_client_that_does_not_shake_hands_is_cut_off(secured):
    service, _ = secured
    with socket.create_connection(("127.0.0.1", service.grpc_port), timeout=15) as plain:
        plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        received = b""
        while data := plain.recv(4_096):
            received += data
        assert b"\x04\x00\x00\x00\x00" not in received[:16]  # no SETTINGS in the clear


def test_http2_is_what_both_sides_agree_on_and_old_protocols_are_refused(secured):
    service, certificate = secured
    context = ssl.create_default_context(cafile=certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.check_hostname = False
    with (
        socket.create_connection(("127.0.0.1", service.grpc_port), timeout=10) as plain,
        context.wrap_socket(plain) as stream,
    ):
        assert stream.selected_alpn_protocol() == "h2"
        assert stream.version() in ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.NoCompression])
def test_messages_may_be_compressed(service: ServiceProcess, compression: grpc.Compression):
    name = service.register()
    a, b = open_accounts(service.database_url, name, 2, overdraft=10**6)
    with grpc.insecure_channel(service.grpc) as channel:
        call = channel.unary_unary(
            f"{PREFIX}BatchTransfers",
            request_serializer=pb.BatchTransfersRequest.SerializeToString,
            response_deserializer=pb.BatchTransfersResponse.FromString,
        )
        request = pb.BatchTransfersRequest(transfers=[order(a, b)] * 1_000)
        metadata = [("authorization", f"Bearer {service.login(name)}")]
        assert len(call(request, metadata=metadata, compression=compression).outcomes) == 1_000


def test_grpcs_asyncio_client_is_served_too(service: ServiceProcess):
    name = service.register()
    a, b = open_accounts(service.database_url, name, 2, overdraft=10**6)
    metadata = [("authorization", f"Bearer {service.login(name)}")]

    async def talk() -> tuple[int, set[str], int]:
        async with grpc.aio.insecure_channel(service.grpc) as channel:
            batch = channel.unary_unary(
                f"{PREFIX}BatchTransfers",
                request_serializer=pb.BatchTransfersRequest.SerializeToString,
                response_deserializer=pb.BatchTransfersResponse.FromString,
            )
            many = await asyncio.gather(
                *(
                    batch(pb.BatchTransfersRequest(transfers=[order(a, b)] * 50), metadata=metadata)
                    for _ in range(20)
                )
            )
            stream = channel.stream_stream(
                f"{PREFIX}StreamTransfers",
                request_serializer=pb.StreamTransfersRequest.SerializeToString,
                response_deserializer=pb.StreamTransfersResponse.FromString,
            )(metadata=metadata)
            for number in range(100):
                await stream.write(pb.StreamTransfersRequest(reference=str(number), transfer=order(a, b)))
            await stream.done_writing()
            references = {answer.reference async for answer in stream}
            watch = channel.unary_stream(
                f"{PREFIX}WatchAccount",
                request_serializer=pb.WatchAccountRequest.SerializeToString,
                response_deserializer=pb.WatchAccountResponse.FromString,
            )(pb.WatchAccountRequest(account_id=a), metadata=metadata)
            seen = 0
            async for _ in watch:
                seen += 1
                if seen == 1_100:
                    break
            watch.cancel()
            return sum(len(each.outcomes) for each in many), references, seen

    moved, references, seen = asyncio.run(talk())
    assert (moved, references, seen) == (1_000, {str(n) for n in range(100)}, 1_100)


def test_a_deadline_ends_a_watch(service: ServiceProcess):
    name = service.register()
    account = open_accounts(service.database_url, name, 1)[0]
    with grpc.insecure_channel(service.grpc) as channel:
        call = channel.unary_stream(
            f"{PREFIX}WatchAccount",
            request_serializer=pb.WatchAccountRequest.SerializeToString,
            response_deserializer=pb.WatchAccountResponse.FromString,
        )
        metadata = [("authorization", f"Bearer {service.login(name)}")]
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            next(call(pb.WatchAccountRequest(account_id=account), metadata=metadata, timeout=0.5))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - began < 10
