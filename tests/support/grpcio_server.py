"""grpcio's server with a Ledger that keeps what it was sent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc

from proto.transactions.v2.ledger_pb2 import (
    CreateTransferRequest,
    StreamTransfersRequest,
    StreamTransfersResponse,
    WatchAccountRequest,
    WatchAccountResponse,
)

CREATE_TRANSFER = "/transactions.v2.Ledger/CreateTransfer"
STREAM_TRANSFERS = "/transactions.v2.Ledger/StreamTransfers"
WATCH_ACCOUNT = "/transactions.v2.Ledger/WatchAccount"


class Ledger:
    """Answers as the message's amount says; streams are echoes, and a watch counts as far as it is read."""

    def __init__(self) -> None:
        self.received: list[CreateTransferRequest] = []
        self.metadata: list[dict[str, str]] = []
        self.counted = 0
        self.cancelled = False

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

    def stream_transfers(
        self, messages: Iterator[StreamTransfersRequest], _: grpc.ServicerContext
    ) -> Iterator[StreamTransfersResponse]:
        for message in messages:
            yield StreamTransfersResponse(reference=message.reference)

    def watch_account(
        self, message: WatchAccountRequest, context: grpc.ServicerContext
    ) -> Iterator[WatchAccountResponse]:
        context.add_callback(lambda: setattr(self, "cancelled", True))
        seq = message.after_seq
        while context.is_active():
            seq += 1
            self.counted = seq
            response = WatchAccountResponse()
            response.entry.seq = seq
            yield response


@contextmanager
def grpcio_server(
    port: int = 0, *, tls: tuple[bytes, bytes] | None = None, **options: int
) -> Iterator[tuple[int, Ledger, grpc.Server]]:
    """Port, ledger and server, for the block; `tls` is a private key and its certificate."""
    ledger = Ledger()
    methods = {
        "CreateTransfer": grpc.unary_unary_rpc_method_handler(
            ledger.create_transfer, request_deserializer=CreateTransferRequest.FromString
        ),
        "StreamTransfers": grpc.stream_stream_rpc_method_handler(
            ledger.stream_transfers,
            request_deserializer=StreamTransfersRequest.FromString,
            response_serializer=StreamTransfersResponse.SerializeToString,
        ),
        "WatchAccount": grpc.unary_stream_rpc_method_handler(
            ledger.watch_account,
            request_deserializer=WatchAccountRequest.FromString,
            response_serializer=WatchAccountResponse.SerializeToString,
        ),
    }
    server = grpc.server(
        futures.ThreadPoolExecutor(4),
        handlers=(grpc.method_handlers_generic_handler("transactions.v2.Ledger", methods),),
        options=[("grpc.so_reuseport", 0), *((f"grpc.{name}", value) for name, value in options.items())],
    )
    address = f"127.0.0.1:{port}"
    if tls is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, grpc.ssl_server_credentials([tls]))
    server.start()
    try:
        yield port, ledger, server
    finally:
        server.stop(0).wait()
