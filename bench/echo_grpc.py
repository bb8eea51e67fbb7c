"""A bare echo on our gRPC handler: what a call costs before a service does anything.

It answers the calls of `transactions hammer` with the message they carry.
"""

from __future__ import annotations

import argparse

import trio

from transport.grpc.methods import methods_of
from transport.grpc.server import GrpcServer

from proto.transactions.v2.ledger_pb2 import CreateTransferRequest  # isort: skip
from purerpc import Cardinality, RPCSignature  # isort: skip
from purerpc.server import Service  # isort: skip


async def echo(message: CreateTransferRequest) -> CreateTransferRequest:
    """The message itself."""
    return message


def echo_service() -> Service:
    """A service of one method, under the name that the hammer calls."""
    service = Service("transactions.v2.Ledger")
    signature = RPCSignature(Cardinality.UNARY_UNARY, CreateTransferRequest, CreateTransferRequest)
    service.add_method("CreateTransfer", echo, signature)
    return service


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    trio.run(GrpcServer(methods_of([echo_service()], ruled=False), f"127.0.0.1:{port}").run)


if __name__ == "__main__":
    main()
