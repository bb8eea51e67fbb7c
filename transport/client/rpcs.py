"""Every RPC of one request and one answer, by the class of its request: read from the generated modules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from domain.policy import PUBLIC
from proto.grpc.health.v1 import health_pb2
from proto.transactions.v2 import identity_pb2, ledger_pb2

KEYED = frozenset({"CreateAccount", "Deposit", "Withdraw", "CreateTransfer", "BatchTransfers"})
READS = ("Get", "List", "Check")


class Rpc(NamedTuple):
    """How one is called.

    An idempotency key goes with what is `keyed`; what `reads` changes nothing; for what is `public` nobody needs
    to be logged in.
    """

    path: str
    response_type: type[Message]
    keyed: bool
    reads: bool
    public: bool


def rpc_of(request: Message) -> Rpc:
    """The RPC that takes this request. Raises TypeError for what is none, or is one of many messages."""
    rpc = _RPCS.get(type(request))
    if rpc is None:
        raise TypeError(f"{type(request).__name__} is no request of an RPC with one answer")
    return rpc


def _rpcs(file: FileDescriptor) -> Iterator[tuple[type[Message], Rpc]]:
    for service in file.services_by_name.values():
        for method in service.methods:
            if method.client_streaming or method.server_streaming:
                continue
            operation = re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower()
            yield (
                GetMessageClass(method.input_type),
                Rpc(
                    f"/{service.full_name}/{method.name}",
                    GetMessageClass(method.output_type),
                    keyed=method.name in KEYED,
                    reads=method.name.startswith(READS),
                    public=operation in PUBLIC or file.package != "transactions.v2",
                ),
            )


_RPCS = {
    request_type: rpc
    for module in (identity_pb2, ledger_pb2, health_pb2)
    for request_type, rpc in _rpcs(module.DESCRIPTOR)
}
