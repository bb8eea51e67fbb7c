"""Crowds of the worst clients at once: somebody new still gets in, and the service has not grown when they are gone.

Every one of them holds what it may for as long as it may: half a request, answers that it does not read, streams
that have no end.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import h2.exceptions
import h2.settings
import pytest

from proto.grpc.reflection.v1 import reflection_pb2
from tests.attacks.health import answers, resident_bytes, unharmed
from tests.attacks.test_grpc_protocol import PREFACE, Attacker, frame, framed
from tests.attacks.test_http_protocol import GET, POST
from tests.support.service import ServiceProcess

TIMEOUT_S = 20
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
HEALTH = "/grpc.health.v1.Health/Check"
LARGE = framed(
    reflection_pb2.ServerReflectionRequest(file_containing_symbol="transactions.v2.Ledger").SerializeToString()
)
WINDOW_MAX = 2**31 - 1


@contextmanager
def crowd(port: int, size: int, attack: Callable[[socket.socket, int], None]) -> Iterator[list[socket.socket]]:
    """So many connections, each of which has attacked; some may have been cut off meanwhile."""
    with ExitStack() as stack:
        opened = []
        for number in range(size):
            opened.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)))
            with suppress(ConnectionError, TimeoutError):
                attack(opened[-1], number)
        yield opened


def half_a_request(connection: socket.socket, number: int) -> None:
    connection.sendall(
        (
            GET + b"X-A: " + b"b" * 30_000,
            POST + b"Content-Length: 60000\r\n\r\n{" + b"x" * 50_000,
            POST + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n{" + b"x" * 60_000,
            POST.replace(b"/v1/users/login", b"/v2/users:login")
            + b"Content-Length: 60000\r\n\r\n{"
            + b"x" * 50_000,
        )[number % 4]
    )


def half_messages(connection: socket.socket, number: int) -> None:
    client = Attacker(connection)
    client.h2.initiate_connection()
    for _ in range(3):
        client.h2.send_data(client.begin(), framed(bytes(200_000))[:16_000])
    client.flush()


def unread_answers(connection: socket.socket, number: int) -> None:
    client = Attacker(connection)
    client.h2.initiate_connection()
    if number % 2:
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
    else:
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_MAX})
        client.h2.increment_flow_control_window(WINDOW_MAX - 65_535)
    client.flush()
    for _ in range(20):
        client.call(LARGE * 3 if number % 4 else framed(b""), path=REFLECTION if number % 4 else HEALTH)


def endless_streams(connection: socket.socket, number: int) -> None:
    client = Attacker(connection)
    client.h2.initiate_connection()
    for _ in range(20):
        client.h2.send_data(client.begin(path=REFLECTION), LARGE)
    client.flush()


def half_a_frame(connection: socket.socket, number: int) -> None:
    connection.sendall(PREFACE + (16_000_000).to_bytes(3, "big") + b"\x00\x00\x00\x00\x00\x01")
    connection.sendall(bytes(200_000))


def half_a_head(connection: socket.socket, number: int) -> None:
    connection.sendall(PREFACE + frame(1, 0, 1, b"\x82"))
    for _ in range(20):
        connection.sendall(frame(9, 0, 1, os.urandom(16_000)))


@pytest.mark.parametrize(
    ("attack", "over", "size"),
    [
        (half_a_request, "http", 900),
        (half_messages, "grpc", 900),
        (unread_answers, "grpc", 700),
        (endless_streams, "grpc", 900),
        (half_a_frame, "grpc", 900),
        (half_a_head, "grpc", 300),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_crowd_leaves_nothing_behind(service: ServiceProcess, attack, over, size):
    port = service.http_port if over == "http" else service.grpc_port
    before = resident_bytes(service)
    with unharmed(service):
        with crowd(port, size, attack):
            print("peak", attack.__name__, (resident_bytes(service) - before) / 1e6)
            answers(service)
        print("after", attack.__name__, (resident_bytes(service) - before) / 1e6)
