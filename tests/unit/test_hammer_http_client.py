"""The HTTP client against responses that the test plays byte by byte."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from cli.hammer.http_client import BODY_BYTES_MAX, HEAD_BYTES_MAX, HttpClient, HttpFailed

OK = b"HTTP/1.1 200 OK\r\n"


class Script:
    """Answers the n-th connection with the n-th response, then closes it unless told to keep it."""

    def __init__(
        self, monkeypatch, *responses: bytes, byte_at_a_time: bool = False, close: bool = True
    ) -> None:
        self._responses = list(responses)
        self._step = 1 if byte_at_a_time else 2**20
        self._close = close
        self.opened = 0
        monkeypatch.setattr(trio, "open_tcp_stream", self._open)

    async def _open(self, host: str, port: int):
        self.opened += 1
        ours, theirs = trio.testing.memory_stream_pair()
        response = self._responses.pop(0)
        for at in range(0, len(response), self._step):
            await theirs.send_all(response[at : at + self._step])
        if self._close:
            await theirs.send_eof()
        self.stream = theirs
        return ours


async def request(monkeypatch, response: bytes, **options: bool) -> tuple[int, bytes]:
    Script(monkeypatch, response, **options)
    async with HttpClient("h", 1) as client:
        return await client.request("POST", "/", b"")


async def test_request_is_one_message_with_its_headers(monkeypatch):
    script = Script(monkeypatch, OK + b"content-length: 0\r\n\r\n")
    async with HttpClient("::1", 80, {"Authorization": "Bearer t"}) as client:
        await client.request("POST", "/v1/x", b"body", b"Idempotency-Key: k\r\n")
    assert await script.stream.receive_some(1000) == (
        b"POST /v1/x HTTP/1.1\r\nHost: [::1]:80\r\nAuthorization: Bearer t\r\n"
        b"Idempotency-Key: k\r\nContent-Length: 4\r\n\r\nbody"
    )


@pytest.mark.parametrize("byte_at_a_time", [False, True])
@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (OK + b"Content-Length: 2\r\n\r\nab", (200, b"ab")),
        (b"HTTP/1.1 201\r\ncontent-length:0\r\n\r\n", (201, b"")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK + b"content-length: 1\r\n\r\na", (200, b"a")),
        (
            OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
            (200, b"ab0123456789"),
        ),
        (OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 1\r\n\r\n", (200, b"a")),
    ],
)
async def test_response_is_understood(monkeypatch, response, expected, byte_at_a_time):
    assert await request(monkeypatch, response, byte_at_a_time=byte_at_a_time) == expected


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (b"HTTP/1.1 abc\r\ncontent-length: 0\r\n\r\n", "without a status"),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", "without a status"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "without a status"),
        (OK + b"\r\n", "without one plain length"),
        (OK + b"content-length: -5\r\n\r\n", "without one plain length"),
        (OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab", "without one plain length"),
        (OK + b"content-length: 1, 1\r\n\r\na", "without one plain length"),
        (OK + b"content-length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1), "beyond our limit"),
        (OK + b"content-length: 0\r\n\r\n" + OK, "more than one response"),
        (OK + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "ambiguous"),
        (OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "ambiguous"),
        (OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n", "without a size"),
        (OK + b"transfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", "longer than its size"),
        (OK + b"transfer-encoding: chunked\r\n\r\nffffffff\r\n", "beyond our limit"),
        (OK + b"x: " + b"y" * (HEAD_BYTES_MAX + 1), "beyond our limit"),
        (OK + b"content-length: 5\r\n\r\nab", "closed the connection"),
        (b"", "closed the connection"),
    ],
)
async def test_response_is_refused(monkeypatch, response, why):
    with pytest.raises(HttpFailed, match=why):
        await request(monkeypatch, response)


async def test_retry_after_is_of_the_last_response_only(monkeypatch):
    busy = b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    Script(monkeypatch, busy, OK + b"content-length: 0\r\n\r\n")
    async with HttpClient("h", 1) as client:
        await client.request("GET", "/")
        assert client.retry_after_s == 7
        await client.request("GET", "/")
        assert client.retry_after_s == 0


@pytest.mark.parametrize("first", [b"", OK + b"Connection: close\r\ncontent-length: 0\r\n\r\n"])
async def test_a_connection_that_ended_is_replaced(monkeypatch, first):
    script = Script(monkeypatch, first, OK + b"content-length: 0\r\n\r\n")
    async with HttpClient("h", 1) as client:
        try:
            await client.request("GET", "/")
        except HttpFailed:
            assert first == b""
        assert await client.request("GET", "/") == (200, b"")
    assert script.opened == 2


async def test_a_cancelled_request_leaves_no_answer_for_the_next(monkeypatch):
    script = Script(monkeypatch, b"", OK + b"content-length: 1\r\n\r\n2", close=False)
    async with HttpClient("h", 1) as client:
        with trio.move_on_after(0.01) as scope:
            await client.request("GET", "/")
        assert scope.cancelled_caught
        assert await client.request("GET", "/") == (200, b"2")
    assert script.opened == 2


async def test_nobody_listening_is_a_failure(monkeypatch):
    async def refuse(host: str, port: int) -> None:
        raise OSError("all attempts failed")

    monkeypatch.setattr(trio, "open_tcp_stream", refuse)
    async with HttpClient("h", 1) as client:
        with pytest.raises(HttpFailed, match="all attempts failed"):
            await client.request("GET", "/")
