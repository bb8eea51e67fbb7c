"""The ledger's calls that carry many transfers or entries, through grpcio's client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import grpc
import httpx

from proto.transactions.v2 import ledger_pb2 as pb
from tests.support.service import ServiceProcess

PREFIX = "/transactions.v2.Ledger/"


def order(source: int, target: int, amount: int = 1, **fields: Any) -> pb.TransferOrder:
    return pb.TransferOrder(
        from_account_id=source, to_account_id=target, amount=amount, currency="USD", **fields
    )


class LedgerCalls:
    """One caller's; extra metadata as keyword arguments, underscores for hyphens."""

    def __init__(self, channel: grpc.Channel, token: str) -> None:
        self._channel = channel
        self.token = token
        self._metadata = [("authorization", f"Bearer {token}")]

    def batch(self, orders: Iterable[pb.TransferOrder], *, atomic: bool = False, **metadata: str):
        return self.begin_batch(orders, atomic=atomic, **metadata).result()

    def begin_batch(self, orders: Iterable[pb.TransferOrder], *, atomic: bool = False, **metadata: str):
        call = self._channel.unary_unary(
            f"{PREFIX}BatchTransfers",
            request_serializer=pb.BatchTransfersRequest.SerializeToString,
            response_deserializer=pb.BatchTransfersResponse.FromString,
        )
        request = pb.BatchTransfersRequest(transfers=orders, atomic=atomic)
        return call.future(request, metadata=self._with(metadata), timeout=60)

    def stream(self, requests: Iterator[pb.StreamTransfersRequest]):
        call = self._channel.stream_stream(
            f"{PREFIX}StreamTransfers",
            request_serializer=pb.StreamTransfersRequest.SerializeToString,
            response_deserializer=pb.StreamTransfersResponse.FromString,
        )
        return call(requests, metadata=self._metadata, timeout=120)

    def watch(self, account_id: int, after_seq: int = 0):
        call = self._channel.unary_stream(
            f"{PREFIX}WatchAccount",
            request_serializer=pb.WatchAccountRequest.SerializeToString,
            response_deserializer=pb.WatchAccountResponse.FromString,
        )
        request = pb.WatchAccountRequest(account_id=account_id, after_seq=after_seq)
        return call(request, metadata=self._metadata, timeout=120)

    def _with(self, metadata: dict[str, str]) -> list[tuple[str, str]]:
        return [*self._metadata, *((name.replace("_", "-"), value) for name, value in metadata.items())]


def statistic(service: ServiceProcess, name: str) -> float:
    """The sum of a number of the supervision tree over its children, as /metrics has it now."""
    lines = httpx.get(f"{service.http}/metrics").text.splitlines()
    found = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
    assert found, name
    return sum(float(line.rpartition(" ")[2]) for line in found)
