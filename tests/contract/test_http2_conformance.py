"""The gRPC port keeps RFC 9113: each case names its section. What is asked for is grpc.health.v1's Check.

In two places h2 calls an error by a more general name than the RFC does (marked H2); the connection ends all the same.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hpack import Decoder, Encoder

from tests.support.service import ServiceProcess

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(
    10
)
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITIZED = 0x4, 0x8, 0x20
(
    NO_ERROR,
    PROTOCOL_ERROR,
    INTERNAL_ERROR,
    FLOW_CONTROL_ERROR,
    SETTINGS_TIMEOUT,
    STREAM_CLOSED,
    FRAME_SIZE_ERROR,
    REFUSED_STREAM,
    CANCEL,
    COMPRESSION_ERROR,
) = range(10)
WINDOW_MAX = 2**31 - 1
MESSAGE = b"\x00\x00\x00\x00\x00"
REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/grpc.health.v1.Health/Check"),
    (":authority", "test"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]
TIMEOUT_S = 20


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return struct.pack("!HBBBI", len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream_id) + payload


def block(headers: list[tuple[str, str]] = REQUEST) -> bytes:
    return Encoder().encode(headers)


def setting(identifier: int, value: int) -> bytes:
    return struct.pack("!HI", identifier, value)


def u32(value: int) -> bytes:
    return struct.pack("!I", value)


def call(stream_id: int = 1, *, body: bytes = MESSAGE) -> bytes:
    return frame(HEADERS, END_HEADERS, stream_id, block()) + frame(DATA, END_STREAM, stream_id, body)


class Client:
    """A connection by hand, on which the preface and our SETTINGS have been sent."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._in = b""
        self._decoder = Decoder()

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return  # what was said before it hung up is still to be read

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """(kind, flags, stream, payload), until the server hangs up."""
        while True:
            while len(self._in) >= 9 and len(self._in) >= 9 + int.from_bytes(self._in[:3], "big"):
                end = 9 + int.from_bytes(self._in[:3], "big")
                head, payload, self._in = self._in[:9], self._in[9:end], self._in[end:]
                yield head[3], head[4], int.from_bytes(head[5:9], "big"), payload
            try:
                data = self._socket.recv(65_536)
            except ConnectionResetError:
                return
            if not data:
                return
            self._in += data

    def error(self) -> tuple[str, int]:
        """What the server finds wrong: with the connection, or with one stream."""
        for kind, _, _, payload in self.frames():
            if kind == GOAWAY:
                code = int.from_bytes(payload[4:8], "big")
                if code != NO_ERROR:
                    return "connection", code
            if kind == RST_STREAM:
                return "stream", int.from_bytes(payload, "big")
        return "closed", -1

    def answer(self, stream_id: int = 1) -> tuple[dict[str, str], bytes]:
        """Headers and trailers together, and the message, of a call that is answered whole."""
        headers: dict[str, str] = {}
        body = b""
        for kind, flags, stream, payload in self.frames():
            assert kind not in (GOAWAY, RST_STREAM) or stream not in (0, stream_id), (kind, payload)
            if stream != stream_id:
                continue
            if kind == HEADERS:
                headers |= dict(self._decoder.decode(payload))
            if kind == DATA:
                body += payload
            if flags & END_STREAM and kind in (DATA, HEADERS):
                return headers, body
        raise AssertionError("the server has hung up")

    def served(self, stream_id: int = 1) -> None:
        """The call on this stream was answered: SERVING."""
        headers, body = self.answer(stream_id)
        assert (headers[":status"], headers["grpc-status"]) == ("200", "0")
        assert body == b"\x00\x00\x00\x00\x02\x08\x01"


@contextmanager
def connected(service: ServiceProcess, settings: bytes = b"", preface: bytes = PREFACE) -> Iterator[Client]:
    with socket.create_connection(("127.0.0.1", service.grpc_port), timeout=TIMEOUT_S) as sock:
        client = Client(sock)
        client.send(preface + frame(SETTINGS, 0, 0, settings))
        yield client


GOOD = {
    "8.1 a call": call(),
    "5.1.2 calls interleaved": frame(HEADERS, END_HEADERS, 1, block())
    + call(3)
    + frame(DATA, END_STREAM, 1, MESSAGE),
    "4.3 a header block in pieces": frame(HEADERS, 0, 1, block()[:5])
    + frame(CONTINUATION, 0, 1, block()[5:9])
    + frame(CONTINUATION, END_HEADERS, 1, block()[9:])
    + frame(DATA, END_STREAM, 1, MESSAGE),
    "6.2 padded headers": frame(HEADERS, END_HEADERS | PADDED, 1, b"\x07" + block() + bytes(7))
    + frame(DATA, END_STREAM, 1, MESSAGE),
    "6.2 headers with a priority": frame(HEADERS, END_HEADERS | PRIORITIZED, 1, u32(0) + b"\x0f" + block())
    + frame(DATA, END_STREAM, 1, MESSAGE),
    "6.1 padded data": frame(HEADERS, END_HEADERS, 1, block())
    + frame(DATA, END_STREAM | PADDED, 1, b"\x03" + MESSAGE + bytes(3)),
    "6.1 a message in pieces, and empty ones": frame(HEADERS, END_HEADERS, 1, block())
    + b"".join(frame(DATA, 0, 1, MESSAGE[n : n + 1]) for n in range(5))
    + frame(DATA, END_STREAM, 1),
    "8.1 trailers": frame(HEADERS, END_HEADERS, 1, block())
    + frame(DATA, 0, 1, MESSAGE)
    + frame(HEADERS, END_HEADERS | END_STREAM, 1, block([("x-checksum", "1")])),
    "5.5 a frame of an unknown kind": frame(0xFA, 0x3, 0, b"whatever") + frame(0xFA, 0, 9, b"") + call(),
    "6.5.2 a setting nobody knows": frame(SETTINGS, 0, 0, setting(0xABCD, 7)) + call(),
    "5.3.2 a priority of a stream that is not there": frame(PRIORITY, 0, 7, u32(0) + b"\x01") + call(),
    "6.9 windows opened": frame(WINDOW_UPDATE, 0, 0, u32(1_000)) + call(),
    "6.7 a ping in between": frame(PING, 0, 0, b"12345678") + call(),
    "6.8 a client that goes away after its call": call() + frame(GOAWAY, 0, 0, u32(0) + u32(NO_ERROR)),
}


@pytest.mark.parametrize("sent", GOOD.values(), ids=GOOD.keys())
def test_what_the_protocol_allows_is_served(service: ServiceProcess, sent: bytes):
    with connected(service) as client:
        client.send(sent)
        client.served()


OPEN = frame(HEADERS, END_HEADERS, 1, block())
HEADERS_IN_PIECES = frame(HEADERS, 0, 1, block()[:5])
BAD = {
    "4.2 a frame larger than allowed": (OPEN + frame(DATA, 0, 1, bytes(16_385)), {FRAME_SIZE_ERROR}),
    "4.3 a header block that is none": (
        frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff"),
        {COMPRESSION_ERROR, PROTOCOL_ERROR},  # H2
    ),
    "5.1 data on a stream that is idle": (frame(DATA, 0, 1, MESSAGE), {PROTOCOL_ERROR}),
    "5.1 a reset of a stream that is idle": (frame(RST_STREAM, 0, 1, u32(CANCEL)), {PROTOCOL_ERROR}),
    "5.1 a window for a stream that is idle": (frame(WINDOW_UPDATE, 0, 1, u32(1)), {PROTOCOL_ERROR}),
    "5.1.1 a stream of even number": (frame(HEADERS, END_HEADERS, 2, block()), {PROTOCOL_ERROR}),
    "5.1.1 a stream of a lower number": (call(5) + call(3), {PROTOCOL_ERROR, STREAM_CLOSED}),
    "5.1 data after the end": (call() + frame(DATA, 0, 1, MESSAGE), {STREAM_CLOSED, PROTOCOL_ERROR}),
    "6.1 data on stream 0": (frame(DATA, 0, 0, MESSAGE), {PROTOCOL_ERROR}),
    "6.1 more padding than data": (OPEN + frame(DATA, PADDED, 1, b"\x09" + MESSAGE), {PROTOCOL_ERROR}),
    "6.2 headers on stream 0": (frame(HEADERS, END_HEADERS, 0, block()), {PROTOCOL_ERROR}),
    "6.2 headers interrupted": (HEADERS_IN_PIECES + frame(PING, 0, 0, bytes(8)), {PROTOCOL_ERROR}),
    "6.2 headers interrupted by another stream's": (
        HEADERS_IN_PIECES + frame(CONTINUATION, END_HEADERS, 3, block()[5:]),
        {PROTOCOL_ERROR},
    ),
    "6.3 a priority of the wrong length": (OPEN + frame(PRIORITY, 0, 1, b"\x00"), {FRAME_SIZE_ERROR}),
    "6.4 a reset on stream 0": (frame(RST_STREAM, 0, 0, u32(CANCEL)), {PROTOCOL_ERROR}),
    "6.4 a reset of the wrong length": (OPEN + frame(RST_STREAM, 0, 1, b"\x00"), {FRAME_SIZE_ERROR}),
    "6.5 settings on a stream": (frame(SETTINGS, 0, 1), {PROTOCOL_ERROR}),
    "6.5 settings of a broken length": (frame(SETTINGS, 0, 0, b"\x00\x01\x00"), {FRAME_SIZE_ERROR}),
    "6.5 an acknowledgement that carries something": (
        frame(SETTINGS, ACK, 0, setting(1, 1)),
        {FRAME_SIZE_ERROR, PROTOCOL_ERROR},  # H2
    ),
    "6.5.2 push neither on nor off": (frame(SETTINGS, 0, 0, setting(2, 2)), {PROTOCOL_ERROR}),
    "6.5.2 a window beyond the largest": (frame(SETTINGS, 0, 0, setting(4, 2**31)), {FLOW_CONTROL_ERROR}),
    "6.5.2 frames smaller than the smallest": (frame(SETTINGS, 0, 0, setting(5, 16_383)), {PROTOCOL_ERROR}),
    "6.5.2 frames larger than the largest": (frame(SETTINGS, 0, 0, setting(5, 2**24)), {PROTOCOL_ERROR}),
    "6.6 a promise from a client": (
        OPEN + frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + block()),
        {PROTOCOL_ERROR},
    ),
    "6.7 a ping on a stream": (frame(PING, 0, 1, bytes(8)), {PROTOCOL_ERROR}),
    "6.7 a ping of the wrong length": (frame(PING, 0, 0, bytes(6)), {FRAME_SIZE_ERROR}),
    "6.8 a goodbye on a stream": (frame(GOAWAY, 0, 1, u32(0) + u32(0)), {PROTOCOL_ERROR}),
    "6.9 a window opened by nothing": (frame(WINDOW_UPDATE, 0, 0, u32(0)), {PROTOCOL_ERROR}),
    "6.9 a stream's window opened by nothing": (OPEN + frame(WINDOW_UPDATE, 0, 1, u32(0)), {PROTOCOL_ERROR}),
    "6.9 a window update of the wrong length": (frame(WINDOW_UPDATE, 0, 0, b"\x00" * 3), {FRAME_SIZE_ERROR}),
    "6.9.1 a window opened too far": (
        frame(WINDOW_UPDATE, 0, 0, u32(WINDOW_MAX)),
        {FLOW_CONTROL_ERROR},
    ),
    "6.9.1 a stream's window opened too far": (
        OPEN + frame(WINDOW_UPDATE, 0, 1, u32(WINDOW_MAX)),
        {FLOW_CONTROL_ERROR},
    ),
    "6.10 a continuation of nothing": (frame(CONTINUATION, END_HEADERS, 1, block()), {PROTOCOL_ERROR}),
}


@pytest.mark.parametrize(("sent", "codes"), BAD.values(), ids=BAD.keys())
def test_what_the_protocol_forbids_is_an_error_of_its_kind(
    service: ServiceProcess, sent: bytes, codes: set[int]
):
    with connected(service) as client:
        client.send(sent)
        _, code = client.error()
        assert code in codes
    with connected(service) as other:
        other.send(call())
        other.served()


def test_3_4_the_server_begins_with_its_settings_and_acknowledges_ours(service: ServiceProcess):
    with connected(service) as client:
        frames = client.frames()
        kind, flags, stream, payload = next(frames)
        assert (kind, flags, stream) == (SETTINGS, 0, 0)
        names = [identifier for identifier, _ in struct.iter_unpack("!HI", payload)]
        assert {0x3, 0x6} <= set(names)  # MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE
        assert any((kind, flags) == (SETTINGS, ACK) for kind, flags, *_ in frames)


def test_3_4_what_is_no_preface_is_hung_up_on(service: ServiceProcess):
    with connected(service, preface=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        assert client.error()[0] in ("connection", "closed")


def test_6_7_a_ping_comes_back_with_its_own_bytes(service: ServiceProcess):
    with connected(service) as client:
        client.send(frame(PING, 0, 0, b"12345678"))
        assert next((flags, payload) for kind, flags, _, payload in client.frames() if kind == PING) == (
            ACK,
            b"12345678",
        )


def test_6_9_2_nothing_is_sent_beyond_the_window(service: ServiceProcess):
    with connected(service, settings=setting(4, 1)) as client:
        client.send(call())
        body = b""
        for kind, flags, stream, payload in client.frames():
            if kind == DATA:
                assert len(payload) <= 1
                body += payload
                client.send(frame(WINDOW_UPDATE, 0, stream, u32(1)))
            if kind == HEADERS and flags & END_STREAM:
                break
        assert body == b"\x00\x00\x00\x00\x02\x08\x01"


def test_6_9_2_a_window_may_become_negative_and_is_then_filled_up(service: ServiceProcess):
    with connected(service, settings=setting(4, 3)) as client:
        client.send(call())
        kinds = client.frames()
        while next(kinds)[0] != DATA:
            pass
        client.send(frame(SETTINGS, 0, 0, setting(4, 0)))  # three were sent: the window is at -3 now
        client.send(frame(WINDOW_UPDATE, 0, 1, u32(5)))  # at 2
        sizes = []
        for kind, _, _, payload in kinds:
            if kind == DATA:
                sizes.append(len(payload))
                break
        assert sizes == [2]


def test_5_1_2_more_streams_than_allowed_are_refused(service: ServiceProcess):
    with connected(service) as client:
        client.send(b"".join(frame(HEADERS, END_HEADERS, 2 * n + 1, block()) for n in range(1_001)))
        assert client.error()[1] in (REFUSED_STREAM, PROTOCOL_ERROR)


def test_8_1_an_answer_is_headers_data_and_trailers(service: ServiceProcess):
    with connected(service) as client:
        client.send(call())
        shape = []
        for kind, flags, stream, _ in client.frames():
            if stream == 1:
                shape.append((kind, bool(flags & END_STREAM)))
                if flags & END_STREAM:
                    break
        assert shape == [(HEADERS, False), (DATA, False), (HEADERS, True)]
