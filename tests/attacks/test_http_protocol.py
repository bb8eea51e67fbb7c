"""HTTP as its worst clients speak it: each is answered or cut off, and nobody else notices."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest
import trio
from quart import Response
from quart_trio import QuartTrio

from tests.attacks.health import answers, tells_nothing, unharmed
from tests.support.service import ServiceProcess, open_accounts
from transport.http.limits import HttpLimits
from transport.http.server import HttpServer

TIMEOUT_S = 20
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /v1/users/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
MANY = 1_000


@contextmanager
def connected(service: ServiceProcess) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", service.http_port), timeout=TIMEOUT_S) as connection:
        yield connection


def answer_to(service: ServiceProcess, sent: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    with connected(service) as connection:
        connection.sendall(sent)
        return until_closed(connection)


def until_closed(connection: socket.socket) -> bytes:
    received = b""
    with suppress(ConnectionResetError):
        while data := connection.recv(65_536):
            received += data
    tells_nothing(received)
    return received


def refusal(received: bytes) -> tuple[int, str]:
    """The one answer, a problem that names its request, and carries what every answer does."""
    head, _, body = received.partition(b"\r\n\r\n")
    document = json.loads(body)
    assert statuses(head) == [document["status"]], received
    assert document["request_id"]
    assert document["title"]
    for header in (b"content-type: application/problem+json", b"x-content-type-options: nosniff", b"date: "):
        assert head.lower().count(header) == 1, head
    assert b"connection: close" in head.lower()
    return document["status"], document["code"]


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


ONE = b'{"username": "x", "password": "12345678"}'
SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        GET + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n" + SMUGGLED,
        GET + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
        GET + b"Content-Length: 0, 0\r\n\r\n" + SMUGGLED,
        GET + b"Content-Length : 0\r\n\r\n" + SMUGGLED,
        GET + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        GET.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        GET + b"A: b\r\n c\r\n\r\n" + SMUGGLED,
        GET + b"A: b\rContent-Length: 9\r\n\r\n" + SMUGGLED,
        GET + b"A: b\nC: d\r\n\r\n" + SMUGGLED,
        b"GET /healthz HTTP/1.1\nHost: x\n\n" + SMUGGLED,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\n" + SMUGGLED,
        b" GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
        b"GET /healthz HTTP/1.1\r\n Host: x\r\n\r\n" + SMUGGLED,
        b"GET /healthz HTTP/1.1\r\nHost: x y\r\n\r\n" + SMUGGLED,
        b"GET /healthz HTTP/1.1\r\nHost: a, b\r\n\r\n" + SMUGGLED,
        b"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n" + SMUGGLED,
        b"GET /healthz HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n" + SMUGGLED,
        b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n" + SMUGGLED,
        b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n" + SMUGGLED,
        b"GET healthz HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
        b"GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
        b"GET ftp://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
        b"GET http:///healthz HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde" + SMUGGLED,
        POST + b"Content-Length: 5, 6\r\n\r\nabcde" + SMUGGLED,
        POST + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: +5\r\n\r\nabcde" + SMUGGLED,
        POST + b"Content-Length: 0x5\r\n\r\nabcde" + SMUGGLED,
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\n 1\r\na\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1;\na\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 100_000 + b"\r\na\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nBad Name: y\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        GET + b"A: " + b"x" * 40_000 + b"\r\n\r\n",
        GET + b"A: b\r\n" * 10_000 + b"\r\n",
        b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=lambda request: repr(request[:70].replace(POST, b"")),
)
def test_a_malformed_request_is_refused_and_nothing_behind_it_is_served(service, request_):
    status, code = refusal(answer_to(service, request_))
    assert (status in (400, 431, 501), code) == (True, "invalid_argument")
    answers(service)


@pytest.mark.parametrize("cut", [1, 7, 30])
def test_a_malformed_head_is_refused_however_it_comes(service, cut):
    with connected(service) as connection:
        sent = GET + b"A: b\r\n c\r\n\r\n" + SMUGGLED
        for start in range(0, len(sent), cut):
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(sent[start : start + cut])
            time.sleep(0.001)
        assert refusal(until_closed(connection)) == (400, "invalid_argument")


def test_a_malformed_request_behind_a_good_one_is_refused(service):
    received = answer_to(service, SMUGGLED + GET + b"A: b\r\n c\r\n\r\n" + SMUGGLED)
    assert statuses(received) == [200, 400]


def test_chunks_with_extensions_and_trailers_are_one_body(service):
    chunked = POST + b"Connection: close\r\nTransfer-Encoding: Chunked\r\n\r\n"
    body = b'0001;a=b;c="d"\r\n{\r\n1 \r\n}\r\n0;e\r\nTrailer: x\r\n\r\n'
    status, _, document = answer_to(service, chunked + body).partition(b"\r\n\r\n")
    assert statuses(status) == [400]
    assert {each["field"] for each in json.loads(document)["errors"]} >= {"username"}


@pytest.mark.parametrize(
    "path", ["/healthz", "/v1/accounts", "/v1/transfers", "/none", "/v2/accounts", "/docs"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_no_stream_says_how_long_it_is(service, method, path):
    answer = httpx.request(method, f"{service.http}{path}")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "transfer-encoding" not in answer.headers


def test_a_target_may_be_absolute(service):
    for target in (b"http://elsewhere/healthz", b"HTTP://x:80/healthz?a=b", b"https://x/healthz"):
        received = answer_to(service, b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target)
        assert statuses(received) == [200]


def test_old_versions_and_offers_of_others_do_no_harm(service):
    for request in (
        b"GET /healthz HTTP/1.0\r\n\r\n",
        GET
        + b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        GET + b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ):
        received = answer_to(service, request)
        assert statuses(received) == [200]


def test_a_refused_body_is_told_like_everything_else(service):
    large = {"content": b"x" * 300_000, "headers": {"Content-Type": "application/json"}}
    answer = httpx.post(f"{service.http}/v1/users/login", **large)
    assert (answer.status_code, answer.json()["code"]) == (413, "invalid_argument")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"]
    answer = httpx.post(f"{service.http}/v2/users:login", **large)
    assert (answer.status_code, answer.headers["error-code"]) == (413, "invalid_argument")
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_oversized_body_is_refused_before_it_has_all_come(service, chunked):
    with unharmed(service), connected(service) as connection:
        if chunked:
            connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
            piece = b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n"
        else:
            connection.sendall(POST + b"Content-Length: 1000000000\r\n\r\n")
            piece = b"x" * 0xFFFF
        taken = 0
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(1_000):
                connection.sendall(piece)
                taken += 1
                time.sleep(0.002)  # so that it hears of the answer
        assert taken < 1_000


def test_an_answer_before_the_whole_request_says_that_it_is_the_last(service):
    with connected(service) as connection:
        head = POST.replace(b"/v1/users/login", b"/v1/accounts")
        connection.sendall(head + b"Content-Length: 60000\r\n\r\n{")
        received = until_closed(connection)
        assert statuses(received) == [401]
        assert b"connection: close" in received.lower()


def test_a_client_goes_on_after_a_refused_body(service):
    with httpx.Client(base_url=service.http, timeout=TIMEOUT_S) as client:
        for size in (70_000, 1_400_000) * 5:
            response = client.post("/v1/users/login", content=b"x" * size)
            assert (response.status_code, response.json()["code"]) == (413, "invalid_argument")
            assert client.get("/healthz").status_code == 200


def test_connections_that_say_nothing_or_half_a_request_hold_up_nobody(service):
    with unharmed(service):
        opened = [socket.create_connection(("127.0.0.1", service.http_port)) for _ in range(MANY)]
        try:
            for number, connection in enumerate(opened):
                connection.sendall(
                    (b"", b"GET /", GET + b"X-A: b", POST + b"Content-Length: 9\r\n\r\n{")[number % 4]
                )
            answers(service)
        finally:
            for connection in opened:
                connection.close()


def test_clients_that_do_not_read_hold_up_nobody(service):
    name = service.register()
    account = open_accounts(service.database_url, name, 1)[0]
    path = f"/v1/accounts/{account}/entries?limit=100"
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.login(name)}\r\n\r\n".encode()
    with unharmed(service):
        deaf = [socket.create_connection(("127.0.0.1", service.http_port)) for _ in range(50)]
        try:
            for connection in deaf:
                connection.settimeout(0.05)
                try:
                    for _ in range(500):
                        connection.sendall(request)
                except TimeoutError:
                    continue
            answers(service)
        finally:
            for connection in deaf:
                connection.close()


def test_every_answer_carries_the_security_headers_once_and_no_version(service):
    for path, status in (
        ("/healthz", 200),
        ("/v1/accounts", 401),
        ("/nothing", 404),
        ("/v1/verify_email", 404),
        ("/docs", 200),
        ("/docs/schema", 200),
        ("/docs/assets/swagger.js", 200),
        ("/docs/assets/nothing", 404),
    ):
        response = httpx.get(service.http + path, headers={"Accept": "text/html"})
        assert response.status_code == status
        names = [name for name, _ in response.headers.multi_items()]
        assert len(names) == len(set(names))
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["referrer-policy"] == "no-referrer"
        kept = path in ("/docs", "/docs/assets/swagger.js")
        assert response.headers["cache-control"] == ("public, max-age=0" if kept else "no-store")
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "server" not in response.headers
        assert "strict-transport-security" not in response.headers  # its public URL is not https
    refused = answer_to(service, b"nonsense\r\n\r\n")
    assert b"nosniff" in refused
    assert b"access-control" not in refused.lower()


# The same server with small limits, in this process: how long a client may take.

SMALL = HttpLimits(keep_alive_s=0.4, request_s=0.4, send_s=0.4)


@pytest.fixture
async def small(nursery):
    app = QuartTrio("small", static_folder=None)

    @app.get("/")
    async def large() -> Response:
        return Response(b"x" * 20_000_000)

    server = HttpServer(app, "127.0.0.1:0", grace_s=1, public_url="https://bank.example", limits=SMALL)
    await nursery.start(server.run)
    yield server
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "first", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"]
)
async def test_a_silent_client_is_cut_off(small, first):
    with trio.fail_after(TIMEOUT_S):
        async with await trio.open_tcp_stream("127.0.0.1", small.port) as stream:
            if first:
                await stream.send_all(first)
            while await stream.receive_some(1_000):
                pass


@pytest.mark.parametrize("first", [b"GET / HT", GET + b"A: b\r\n"])
async def test_half_a_head_is_answered_with_a_timeout(small, first):
    with trio.fail_after(TIMEOUT_S):
        async with await trio.open_tcp_stream("127.0.0.1", small.port) as stream:
            await stream.send_all(first)
            received = b""
            while data := await stream.receive_some(10_000):
                received += data
            assert refusal(received) == (408, "deadline_exceeded")


async def test_a_client_that_sends_a_byte_now_and_then_is_cut_off(small):
    began = time.monotonic()
    with trio.fail_after(TIMEOUT_S):
        async with await trio.open_tcp_stream("127.0.0.1", small.port) as stream:
            with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
                while True:
                    await stream.send_all(b"G")
                    await trio.sleep(0.05)
    assert time.monotonic() - began > SMALL.request_s / 2


async def test_a_client_that_does_not_read_is_cut_off(small):
    with trio.fail_after(TIMEOUT_S):
        async with await trio.open_tcp_stream("127.0.0.1", small.port) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            received = 0
            await trio.sleep(SMALL.send_s * 2)
            try:
                while data := await stream.receive_some(1_000_000):
                    received += len(data)
            except trio.BrokenResourceError:
                pass
            assert received < 20_000_000
        small.stop()


async def test_an_https_service_says_so(small):
    with trio.fail_after(TIMEOUT_S):
        async with await trio.open_tcp_stream("127.0.0.1", small.port) as stream:
            await stream.send_all(b"nonsense\r\n\r\n")
            assert b"strict-transport-security: max-age=" in await stream.receive_some(10_000)
