"""What must still be true after an attack: the service answers on both transports, and has not grown."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx

from proto.transactions.v2 import identity_pb2
from tests.support.service import ServiceProcess

GROWTH_MAX_BYTES = 20_000_000
SETTLED_WITHIN_S = 20
# What no answer may carry: SQL, a DSN, a stack trace, a class name, a server's version.
SECRETS = re.compile(
    rb"select |insert |update \w+ set|postgres(ql)?://|redis://|Traceback|File \"|line \d+, in|psycopg"
    rb"|Exception|\w+Error\b|hypercorn|quart|werkzeug|python/",
    re.IGNORECASE,
)


def resident_bytes(service: ServiceProcess) -> int:
    assert service.process is not None
    pages = int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def answers(service: ServiceProcess) -> None:
    """Both transports answer somebody new."""
    assert httpx.get(f"{service.http}/readyz", timeout=20).status_code == 200
    with grpc.insecure_channel(service.grpc) as channel:
        call = channel.unary_unary(
            "/transactions.v2.Identity/ListSessions",
            request_serializer=identity_pb2.ListSessionsRequest.SerializeToString,
            response_deserializer=identity_pb2.ListSessionsResponse.FromString,
        )
        try:
            call(identity_pb2.ListSessionsRequest(), timeout=20)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED, error  # noqa: PT017


@contextmanager
def unharmed(service: ServiceProcess) -> Iterator[None]:
    """The block's attack leaves the service answering, and no larger than before."""
    answers(service)
    before = resident_bytes(service)
    yield
    answers(service)
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while resident_bytes(service) - before > GROWTH_MAX_BYTES:
        assert time.monotonic() < deadline, f"grew by {resident_bytes(service) - before:,} bytes"
        time.sleep(0.1)


def tells_nothing(answer: bytes) -> None:
    """No answer carries what is nobody's business."""
    found = SECRETS.search(answer)
    assert found is None, answer
