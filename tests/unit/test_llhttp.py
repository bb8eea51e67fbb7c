"""Our side of HTTP/1.1: what is taken of a connection, however it comes, and what an answer looks like."""

from __future__ import annotations

import h11
import pytest

from transport.http.llhttp import LlhttpConnection

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
LENGTH = b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab\r\nc"
CHUNKS = (
    b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;e=f\r\na\r\n\r\n2\r\n\r\n\r\n0\r\nT: u\r\n\r\n"
)
OFFERED = (
    b"POST /d HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 28\r\n\r\n" + GET
)
TAKEN = [(b"/a", b""), (b"/b", b"ab\r\nc"), (b"/c", b"a\r\n\r\n"), (b"/d", GET), (b"/a", b"")]
SENT = GET + LENGTH + CHUNKS + OFFERED + GET


def opened(head_max_bytes: int = 1_000, headers_max: int = 10) -> LlhttpConnection:
    return LlhttpConnection(head_max_bytes, headers_max)


def answer(connection: LlhttpConnection) -> None:
    connection.head(200, [(b"content-length", b"0")])
    connection.end()


def take(connection: LlhttpConnection, data: bytes, taken: list[tuple[bytes, bytes]]) -> None:
    """What comes of this, each request answered when it is whole."""
    connection.receive_data(data)
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            taken.append((event.target, b""))
        elif isinstance(event, h11.Data):
            target, body = taken.pop()
            taken.append((target, body + event.data))
        elif isinstance(event, h11.EndOfMessage):
            answer(connection)
            connection.start_next_cycle()
        else:
            return


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 64, len(SENT)])
def test_requests_are_the_same_in_whatever_pieces_they_come(size):
    connection = opened()
    taken: list[tuple[bytes, bytes]] = []
    for start in range(0, len(SENT), size):
        take(connection, SENT[start : start + size], taken)
    assert taken == TAKEN
    connection.receive_data(b"")
    assert isinstance(connection.next_event(), h11.ConnectionClosed)


@pytest.mark.parametrize("cut", range(1, len(SENT)))
def test_they_may_be_cut_anywhere(cut):
    connection = opened()
    taken: list[tuple[bytes, bytes]] = []
    take(connection, SENT[:cut], taken)
    take(connection, SENT[cut:], taken)
    assert taken == TAKEN


def test_the_next_request_waits_until_the_last_one_is_answered():
    connection = opened()
    connection.receive_data(GET + GET)
    assert isinstance(connection.next_event(), h11.Request)
    assert isinstance(connection.next_event(), h11.EndOfMessage)
    assert connection.next_event() is h11.PAUSED
    answer(connection)
    assert connection.next_event() is h11.PAUSED
    connection.start_next_cycle()
    assert isinstance(connection.next_event(), h11.Request)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (GET.replace(b"GET", b"FETCH"), 501),
        (GET.replace(b"GET", b"get"), 501),
        (LENGTH.replace(b"Content-Length: 5", b"Transfer-Encoding: gzip, chunked"), 501),
        (GET.replace(b"GET ", b"GET  "), 400),
        (GET.replace(b"/a", b"/\x80"), 400),
        (GET.replace(b"Host: x", b"A: b"), 400),
        (b"\r\n" + GET, 400),
        (GET.replace(b"\r\n\r\n", b"\r\nA: " + b"x" * 1_000 + b"\r\n\r\n"), 431),
        (GET.replace(b"\r\n\r\n", b"\r\n" + b"A: b\r\n" * 10 + b"\r\n"), 431),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 1_000, 431),
        (CHUNKS.replace(b"e=f", b"e=" + b"f" * 1_000), 431),
        (CHUNKS.replace(b"T: u", b"T: " + b"u" * 1_000), 431),
        (GET.replace(b"GET /a", b"CONNECT x:1"), 501),
        (GET.replace(b"GET", b"CONNECT"), 501),
    ],
)
def test_what_is_refused_says_with_which_status(sent, status):
    connection = opened()
    with pytest.raises(h11.RemoteProtocolError) as refused:
        take(connection, sent, [])
    assert refused.value.error_status_hint == status
    assert connection.their_state is h11.ERROR


@pytest.mark.parametrize("sent", [GET[:-1], LENGTH[:-1], CHUNKS[:-1], CHUNKS[:60]])
def test_a_request_that_ends_too_early_is_none(sent):
    connection = opened()
    take(connection, sent, [])
    connection.receive_data(b"")
    with pytest.raises(h11.RemoteProtocolError):
        connection.next_event()


def test_what_comes_after_a_last_request_is_not_listened_to():
    connection = opened()
    last = GET.replace(b"Host", b"Connection: x, Close\r\nHost")
    connection.receive_data(last + GET)
    assert isinstance(connection.next_event(), h11.Request)
    assert isinstance(connection.next_event(), h11.EndOfMessage)
    assert connection.next_event() is h11.NEED_DATA
    assert b"connection: close\r\n" in connection.head(200, [(b"content-length", b"0")])
    connection.end()
    assert connection.our_state is h11.MUST_CLOSE


def test_a_client_that_asks_whether_to_go_on_is_told_so_once():
    connection = opened()
    connection.receive_data(LENGTH[:-5].replace(b"Host", b"Expect: 100-Continue\r\nHost"))
    connection.next_event()
    assert connection.they_are_waiting_for_100_continue
    assert connection.go_on([]) == b"HTTP/1.1 100 \r\n\r\n"
    assert not connection.they_are_waiting_for_100_continue


def asked(request: bytes = GET) -> LlhttpConnection:
    connection = opened()
    connection.receive_data(request)
    while connection.next_event() is not h11.NEED_DATA:
        pass
    return connection


def test_an_answer_without_a_length_comes_in_chunks():
    connection = asked()
    assert (
        connection.head(200, [(b"a", b"b")]) == b"HTTP/1.1 200 \r\na: b\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    assert not connection.has_length
    assert connection.body(b"x" * 17) == b"11\r\n" + b"x" * 17 + b"\r\n"
    assert connection.body(b"") == b""
    assert connection.end() == b"0\r\n\r\n"
    assert connection.our_state is h11.DONE


def test_or_ends_with_the_connection_where_chunks_are_not_known():
    connection = asked(GET.replace(b"1.1", b"1.0"))
    assert connection.head(200, []) == b"HTTP/1.1 200 \r\nconnection: close\r\n\r\n"
    assert connection.body(b"x") + connection.end() == b"x"
    assert connection.our_state is h11.MUST_CLOSE


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"3")]])
def test_an_answer_to_head_has_no_body(headers):
    connection = asked(GET.replace(b"GET", b"HEAD"))
    head = connection.head(200, headers)
    assert (b"content-length: 3" in head) is bool(headers)
    assert connection.body(b"abc") + connection.end() == b""


@pytest.mark.parametrize("status", [204, 304])
def test_nor_has_one_that_can_have_none(status):
    connection = asked()
    assert connection.head(status, []) == b"HTTP/1.1 %d \r\n\r\n" % status
    assert connection.end() == b""


@pytest.mark.parametrize("said", [b"ab", b"abcd"])
def test_an_answer_is_as_long_as_it_said(said):
    connection = asked()
    connection.head(200, [(b"content-length", b"3")])
    with pytest.raises(h11.LocalProtocolError):
        connection.body(said)
        connection.end()


@pytest.mark.parametrize("value", [b"b\r\nc: d", b"b\nc", b"b\rc", b"b\0"])
def test_nobody_adds_a_line_to_an_answer(value):
    with pytest.raises(h11.LocalProtocolError):
        asked().head(200, [(b"content-length", b"0"), (b"a", value)])


def test_an_answer_is_given_once_and_in_order():
    connection = asked()
    with pytest.raises(h11.LocalProtocolError):
        connection.body(b"x")
    answer(connection)
    with pytest.raises(h11.LocalProtocolError):
        connection.head(200, [])


def test_who_sends_nonsense_is_told_so_and_nothing_else():
    connection = opened()
    connection.receive_data(CHUNKS.replace(b"2\r\n", b"z\r\n"))
    connection.next_event()
    with pytest.raises(h11.RemoteProtocolError):
        while True:
            connection.next_event()
    answer(connection)  # that it was refused
    assert connection.head(200, []) + connection.body(b"x") + connection.end() == b""
