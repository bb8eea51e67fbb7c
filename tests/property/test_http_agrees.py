"""Our reading of HTTP/1.1 against h11's: what is a request to us is one to h11, the same, with the same end."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import h11
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from transport.http.llhttp import LlhttpConnection

SEEDS = [
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n",
    b"POST /v1?a=b HTTP/1.1\r\nHost: x:80\r\nContent-Type: a\r\nContent-Length: 5\r\n\r\nabcde",
    b"POST /v1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\na\r\n2\r\nbc\r\n0\r\nT: u\r\n\r\n",
    b"GET http://x/y HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
]
BYTES = [*b' \t\r\n\0,:01;\x80\xff\x7f\x0b\x0c"#-+a', *b"Z"]
PIECES = [
    *(bytes([each]) for each in BYTES),
    b"",
    b"\r\n",
    b"\r\n\r\n",
    b" x",
    b"HTTP/1.1",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: y\r\n",
    b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
]
PADDED_SIZE = re.compile(rb"\n[0-9a-fA-F]+[ \t]+")
"""Blanks behind the size of a chunk: to us they change nothing, whatever follows; to h11 at a line's end."""


class Taken(NamedTuple):
    """A request, whole."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def mutated(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Bytes taken out, and others put in their place."""
    for at, size, piece in changes:
        start = at % (len(data) + 1)
        data = data[:start] + piece + data[start + size :]
    return data


def taken(connection: Any, pieces: list[bytes]) -> list[Taken]:
    """What comes of it until it is refused, or the last one."""
    requests: list[Taken] = []
    head, body = None, b""
    for piece in [*pieces, b""]:
        connection.receive_data(piece)
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError:
                return requests
            if isinstance(event, h11.Request):
                head, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                headers = tuple((bytes(name), bytes(value)) for name, value in head.headers)
                requests.append(Taken(head.method, head.target, headers, body))
                answer(connection)
                if (connection.our_state, connection.their_state) != (h11.DONE, h11.DONE):
                    return requests
                connection.start_next_cycle()
            else:
                break
    return requests


def answer(connection: Any) -> None:
    if isinstance(connection, LlhttpConnection):
        connection.head(200, [(b"content-length", b"0")])
        connection.end()
    else:
        connection.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
        connection.send(h11.EndOfMessage())


def without_offers(requests: list[Taken]) -> list[Taken]:
    """Offers to speak something else are passed over."""
    return [each._replace(headers=tuple(h for h in each.headers if h[0] != b"upgrade")) for each in requests]


@settings(max_examples=1_500)
@given(
    st.lists(st.sampled_from(SEEDS), min_size=1, max_size=3),
    st.lists(
        st.tuples(st.integers(0, 500), st.sampled_from([0, 0, 1, 2]), st.sampled_from(PIECES)), max_size=3
    ),
    st.integers(1, 500),
)
def test_what_we_take_for_requests_h11_does_too(seeds, changes, cut):
    sent = mutated(b"".join(seeds), changes)
    assume(not PADDED_SIZE.search(sent))
    pieces = [each for each in (sent[:cut], sent[cut:]) if each]
    ours = taken(LlhttpConnection(32_768, 100), pieces)
    theirs = taken(h11.Connection(h11.SERVER), pieces)
    assert without_offers(ours) == without_offers(theirs)[: len(ours)]
