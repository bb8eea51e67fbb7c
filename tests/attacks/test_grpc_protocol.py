"""gRPC as its worst clients speak it, against the running service: nobody else notices."""

from __future__ import annotations

import gzip
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import pytest

from proto.transactions.v2 import identity_pb2
from tests.attacks.health import tells_nothing, unharmed
from tests.support.service import ServiceProcess

TIMEOUT_S = 20
LOGIN = "/transactions.v2.Identity/LoginUser"
PREFIX = struct.Struct("!BI")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04\x00" + bytes(4)


class Attacker:
    """Speaks HTTP/2 by hand."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        )
        self.received: list[h2.events.Event] = []
        self.closed = False

    def flush(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(self.h2.data_to_send())

    def begin(self, *extra: tuple[str, str], path: str = LOGIN, end: bool = False) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "x"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            *extra,
        ]
        self.h2.send_headers(stream_id, headers, end_stream=end)
        return stream_id

    def call(self, message: bytes, *extra: tuple[str, str], path: str = LOGIN) -> int:
        stream_id = self.begin(*extra, path=path)
        with suppress(h2.exceptions.StreamClosedError):  # it was answered before it was whole
            for at in range(0, len(message), 16_000):
                self.flush()
                while self.h2.local_flow_control_window(stream_id) < 16_000 and len(message) > 16_000:
                    if self.ended(stream_id):
                        return stream_id
                    self.receive()
                self.h2.send_data(stream_id, message[at : at + 16_000])
            self.h2.end_stream(stream_id)
        self.flush()
        return stream_id

    def receive(self) -> None:
        try:
            data = self.socket.recv(65_536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return
        tells_nothing(data)
        self.received += self.h2.receive_data(data)
        self.flush()

    def ended(self, stream_id: int) -> bool:
        kinds = (h2.events.StreamEnded, h2.events.StreamReset)
        return any(isinstance(event, kinds) and event.stream_id == stream_id for event in self.received)

    def trailers(self, stream_id: int) -> dict[str, str]:
        while not self.ended(stream_id):
            assert not self.closed
            self.receive()
        found: dict[str, str] = {}
        for event in self.received:
            if getattr(event, "stream_id", None) == stream_id and hasattr(event, "headers"):
                found |= dict(event.headers)
        tells_nothing(repr(found).encode())
        return found

    def until_closed(self) -> list[h2.events.Event]:
        while not self.closed:
            self.receive()
        return self.received


@contextmanager
def attacker(service: ServiceProcess) -> Iterator[Attacker]:
    with socket.create_connection(("127.0.0.1", service.grpc_port), timeout=TIMEOUT_S) as connection:
        made = Attacker(connection)
        made.h2.initiate_connection()
        made.flush()
        yield made


def frame(kind: int, flags: int, stream_id: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + body


def framed(message: bytes, flag: int = 0) -> bytes:
    return PREFIX.pack(flag, len(message)) + message


def login(**fields: str) -> bytes:
    return identity_pb2.LoginUserRequest(**fields).SerializeToString()


BOMB = gzip.compress(bytes(100_000_000), mtime=0)  # the time would be in the name of a test
INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAUTHENTICATED = "3", "8", "12", "13", "16"


@pytest.mark.parametrize(
    ("message", "extra", "status"),
    [
        (framed(b"\xff\xff\xff"), (), INTERNAL),
        (framed(b"\x0a\xff\xff\xff\xff\x0f"), (), INTERNAL),
        (framed(b"\x0a\x02\xff\xfe"), (), INTERNAL),  # no UTF-8
        (framed(b"\x0b" * 5_000), (), INTERNAL),  # groups, deeply nested
        (b"", (), INTERNAL),
        (b"\x00\x00", (), INTERNAL),
        (framed(b"") + b"\x00", (), INTERNAL),
        (framed(b"") * 2, (), INTERNAL),
        (PREFIX.pack(0, 0xFFFF_FFFF) + b"x", (), RESOURCE_EXHAUSTED),
        (framed(bytes(300_000)), (), RESOURCE_EXHAUSTED),
        (framed(BOMB[:200_000], 1), (("grpc-encoding", "gzip"),), RESOURCE_EXHAUSTED),
        (framed(b"no gzip", 1), (("grpc-encoding", "gzip"),), INTERNAL),
        (framed(b"", 1), (), INTERNAL),
        (framed(b"", 1), (("grpc-encoding", "br"),), UNIMPLEMENTED),
        (framed(b"", 7), (("grpc-encoding", "gzip"),), INTERNAL),
        (framed(login(username="x\x00y", password="x" * 9)), (), UNAUTHENTICATED),
        (framed(login(username="x", password="x" * 9)), (("user-agent", "a\x00\r\nb"),), UNAUTHENTICATED),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_message_that_is_none_is_refused(service, message, extra, status):
    with attacker(service) as client:
        assert client.trailers(client.call(message, *extra))["grpc-status"] == status
        again = client.call(framed(login(username="x", password="x" * 9)))
        assert client.trailers(again)["grpc-status"] == UNAUTHENTICATED


@pytest.mark.parametrize(
    "path", ["", "/", "//", "/transactions.v2.Identity", LOGIN + "/", "/../" + LOGIN, "x" * 900]
)
def test_a_path_that_is_none_is_unimplemented(service, path):
    with attacker(service) as client:
        assert client.trailers(client.call(framed(b""), path=path))["grpc-status"] == UNIMPLEMENTED


def test_bombs_leave_nothing_behind(service):
    with unharmed(service), attacker(service) as client:
        for _ in range(20):
            sent = client.call(framed(BOMB[:100_000], 1), ("grpc-encoding", "gzip"))
            assert client.trailers(sent)["grpc-status"] == RESOURCE_EXHAUSTED


def test_ten_thousand_rapid_resets_are_told_to_calm_down(service):
    with unharmed(service), attacker(service) as client:
        for _ in range(100):
            for _ in range(100):
                client.h2.reset_stream(client.begin())
            client.flush()
        events = client.until_closed()
        (goaway,) = [event for event in events if isinstance(event, h2.events.ConnectionTerminated)][:1]
        assert goaway.error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("encoding", [(), (("grpc-encoding", "gzip"),)], ids=["plain", "marked as gzip"])
def test_oversized_messages_are_refused_and_leave_nothing_behind(service, encoding):
    with unharmed(service), attacker(service) as client:
        for _ in range(50):
            sent = client.call(framed(os.urandom(1_000_000), bool(encoding)), *encoding)
            assert client.trailers(sent)["grpc-status"] == RESOURCE_EXHAUSTED


def test_oversized_metadata_is_refused_and_leaves_nothing_behind(service):
    with unharmed(service), attacker(service) as client:
        for number in range(200):
            sent = client.call(framed(b""), (f"x-{number}", "y" * 17_000))
            assert client.trailers(sent)["grpc-status"] == RESOURCE_EXHAUSTED


REFUSED = {
    "metadata": ((("x-long", "y" * 17_000),), LOGIN),
    "path": ((), "/none"),
    "content": ((("content-type", "text/plain"),), LOGIN),
}


@pytest.mark.parametrize("reset", [False, True], ids=["whole", "taken back"])
@pytest.mark.parametrize("why", REFUSED)
def test_what_is_refused_may_have_ended_in_the_segment_it_came_in(service, why, reset):
    extra, path = REFUSED[why]
    with attacker(service) as client:
        refused = client.begin(*extra, path=path)
        client.h2.send_data(refused, framed(b""), end_stream=True)
        if reset:
            client.h2.reset_stream(refused)
        client.flush()
        again = client.call(framed(login(username="x", password="x" * 9)))
        assert client.trailers(again)["grpc-status"] == UNAUTHENTICATED


@pytest.mark.parametrize(
    "made",
    [frame(0, 0, 1, b""), frame(2, 0, 1, bytes(5)), frame(0xBE, 0, 0, b""), frame(3, 0, 1, bytes(4))],
    ids=["empty data", "priority", "unknown", "reset"],
)
def test_frames_that_do_nothing_end_the_connection_they_come_on(service, made):
    with unharmed(service), attacker(service) as client:
        client.begin()
        client.flush()
        with suppress(BrokenPipeError, ConnectionResetError):
            client.socket.sendall(made * 100_000)
        client.until_closed()


@pytest.mark.parametrize("kind", ["ping", "settings"])
def test_floods_are_told_to_calm_down(service, kind):
    with unharmed(service), attacker(service) as client:
        for number in range(5_000):
            if kind == "ping":
                client.h2.ping(struct.pack("!Q", number))
            else:
                client.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: number})
        client.flush()
        assert any(isinstance(event, h2.events.ConnectionTerminated) for event in client.until_closed())


def test_more_streams_than_allowed_end_the_connection(service):
    with unharmed(service), attacker(service) as client:
        client.receive()
        client.h2.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 10_000
        client.h2.remote_settings.acknowledge()
        for _ in range(1_500):
            client.begin()
        client.flush()
        client.until_closed()


def test_a_flood_of_continuations_ends_the_connection(service):
    with (
        unharmed(service),
        socket.create_connection(("127.0.0.1", service.grpc_port), timeout=TIMEOUT_S) as flood,
    ):
        flood.sendall(PREFACE + frame(1, 0, 1, b"\x82"))
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(100_000):
                flood.sendall(frame(9, 0, 1, b"\x00\x01a\x01b" * 100))
            while flood.recv(65_536):
                pass


def test_a_header_block_that_unpacks_to_much_ends_the_connection(service):
    with (
        unharmed(service),
        socket.create_connection(("127.0.0.1", service.grpc_port), timeout=TIMEOUT_S) as bomb,
    ):
        large = b"\x40\x01a\x7f" + b"\xa1\x1e" + b"x" * 4_000  # into the table, then named 10,000 times
        bomb.sendall(PREFACE + frame(1, 0x4, 1, large + b"\xbe" * 10_000))
        received = b""
        with suppress(ConnectionResetError):
            while data := bomb.recv(65_536):
                received += data
        assert len(received) < 1_000


def test_half_sent_requests_do_not_pile_up(service):
    with unharmed(service):
        clients = []
        for _ in range(20):
            connection = socket.create_connection(("127.0.0.1", service.grpc_port), timeout=TIMEOUT_S)
            client = Attacker(connection)
            client.h2.initiate_connection()
            for _ in range(3):
                client.h2.send_data(client.begin(), os.urandom(16_000))
            client.flush()
            clients.append(client)
        for client in clients:
            client.socket.close()


def test_readers_that_stall_hold_up_nobody(service):
    with unharmed(service):
        deaf = []
        for _ in range(50):
            connection = socket.create_connection(("127.0.0.1", service.grpc_port), timeout=TIMEOUT_S)
            client = Attacker(connection)
            client.h2.initiate_connection()
            client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
            client.flush()
            for _ in range(20):
                client.call(framed(b""), path="/grpc.health.v1.Health/Check")
            deaf.append(client)
        for client in deaf:
            client.socket.close()
