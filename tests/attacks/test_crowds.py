"""Crowds of the worst clients at once: somebody new still gets in, and the service has not grown when they are gone.

Every one of them holds what it may for as long as it may: half a request, answers that it does not read, streams
that have no end.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection

import h2.settings
import pytest

from proto.grpc.reflection.v1 import reflection_pb2
from tests.attacks.health import answers, unharmed
from tests.attacks.test_grpc_protocol import PREFACE, Attacker, frame, framed
from tests.attacks.test_http_protocol import GET, POST
from tests.support.service import ServiceProcess
from transport.admission import AdmissionLimits

TIMEOUT_S = 20
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
HEALTH = "/grpc.health.v1.Health/Check"
LARGE = framed(
    reflection_pb2.ServerReflectionRequest(file_containing_symbol="transactions.v2.Ledger").SerializeToString()
)
SMALL = framed(reflection_pb2.ServerReflectionRequest(list_services="*").SerializeToString())
WINDOW_MAX = 2**31 - 1
MORE_THAN_PLACES = AdmissionLimits().connections_max + 200


@contextmanager
def crowd(
    port: int, size: int, attack: Callable[[socket.socket, int], None], *, source: str = "127.0.0.1"
) -> Iterator[list[socket.socket]]:
    """So many connections, each of which has attacked; some may have been cut off meanwhile."""
    with ExitStack() as stack:
        opened = []
        for number in range(size):
            made = socket.create_connection(("127.0.0.1", port), TIMEOUT_S, (source, 0))
            opened.append(stack.enter_context(made))
            with suppress(ConnectionError, TimeoutError):
                attack(made, number)
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
    with unharmed(service), crowd(port_of(service, over), size, attack):
        answers(service)


def a_byte(connection: socket.socket, number: int) -> None:
    connection.sendall(b"G")


def a_byte_of_a_preface(connection: socket.socket, number: int) -> None:
    connection.sendall(PREFACE[:1])


@pytest.mark.parametrize(
    ("attack", "over", "size"),
    [
        (a_byte, "http", MORE_THAN_PLACES),
        (a_byte_of_a_preface, "grpc", MORE_THAN_PLACES),
        (endless_streams, "grpc", 900),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_crowd_from_elsewhere_takes_nothing_of_anybody_here(service: ServiceProcess, attack, over, size):
    """Who was here before stays, with a stream that has no end, and somebody new gets in."""
    with (
        closing(HTTPConnection("127.0.0.1", service.http_port, timeout=TIMEOUT_S)) as here,
        socket.create_connection(("127.0.0.1", service.grpc_port), timeout=TIMEOUT_S) as connection,
    ):
        assert status(here) == 200
        here.auto_open = 0  # it would connect again
        stream = Attacker(connection)
        stream.h2.initiate_connection()
        held = stream.begin(path=REFLECTION)
        stream.flush()
        with crowd(port_of(service, over), size, attack, source="127.0.0.2") as opened:
            answers(service)
            for each in opened:  # a byte now and then
                with suppress(ConnectionError):
                    each.sendall(b"E" if over == "http" else b"")
            answers(service)
            assert status(here) == 200
            stream.h2.send_data(held, SMALL, end_stream=True)
            stream.flush()
            assert stream.trailers(held)["grpc-status"] == "0"


def status(connection: HTTPConnection) -> int:
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def port_of(service: ServiceProcess, over: str) -> int:
    return service.http_port if over == "http" else service.grpc_port
