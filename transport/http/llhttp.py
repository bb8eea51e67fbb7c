"""h11's connection as Hypercorn's protocol uses it, on llhttp: the server's side, strict, in a fifth of the time.

A head is taken only as RFC 9112 writes it: what two readers could read differently is refused. A proxy in front of us
that reads a request's end elsewhere than we do would take the rest of it for somebody else's. llhttp is given a request
at a time, and of that exactly what is its; most lines and lengths it judges, and what it forgives is judged here.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any, Final

import h11
import httptools

from transport.asgi import Headers

REQUEST_LINE = re.compile(rb"([!-~]+) ([!-~]+) HTTP/(\d\.\d)\r\n")
BAD_LINES = re.compile(rb"\A[^!-~]|(?<!\r)\n|\r(?!\n|\Z)|\n[ \t]")
OFFER = re.compile(rb"\r\nupgrade:[^\r]*(?=\r\n)", re.IGNORECASE)
HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+;=:\[\]%-]*")
ABSOLUTE = re.compile(rb"https?://[^/?#@]+(?=[/?]|\Z)", re.IGNORECASE)
BODYLESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
CLOSE = (b"connection", b"close")
CHUNKED = (b"transfer-encoding", b"chunked")
LINE_END: Final = b"\r\n"
HEAD_END: Final = b"\r\n\r\n"
END: Final = h11.EndOfMessage()


class LlhttpConnection:
    """Its methods and states are h11's; an answer is given in parts, each of which returns what is to be sent."""

    def __init__(self, head_max_bytes: int, headers_max: int) -> None:
        self.our_state: Any = h11.IDLE
        self.their_state: Any = h11.IDLE
        self.they_are_waiting_for_100_continue = False
        self._head_max_bytes = head_max_bytes
        self._headers_max = headers_max
        self._received = bytearray()
        self._ended = False
        self._looked_at = 0
        self._found = _Found()
        self._parser = _parser(self._found)
        self._left: int | None = 0
        """Bytes of the body that have not been read; None when it comes in chunks."""
        self._silent = 0
        self._keep_alive = True
        self._method = b""
        self._version = b"1.1"
        self._to_say: int | None = 0
        """Bytes that the answer still has; None when it has no length."""
        self._is_bodyless = self._chunks = False

    # What comes

    def receive_data(self, data: bytes) -> None:
        """Take what has come; nothing says that this was all."""
        self._received += data
        self._ended = self._ended or not data

    def next_event(self) -> Any:
        """The next event; raises h11.RemoteProtocolError, with the status to answer with."""
        state = self.their_state
        event: h11.Event | None = None
        try:
            if state is h11.IDLE:
                event = self._head()
            elif state is h11.SEND_BODY:
                event = self._body()
            elif state is h11.DONE and self._received:
                return h11.PAUSED
            if (
                event is None
                and self._ended
                and (self._received if state is h11.IDLE else state is h11.SEND_BODY)
            ):
                raise _refusal("the request is not whole")
        except h11.RemoteProtocolError:
            self.their_state = h11.ERROR
            raise
        if event is not None:
            return event
        if not self._ended:
            return h11.NEED_DATA
        self.their_state = h11.CLOSED
        return h11.ConnectionClosed()

    def start_next_cycle(self) -> None:
        """Both sides are done; take the next request."""
        if (self.our_state, self.their_state) != (h11.DONE, h11.DONE):
            raise h11.LocalProtocolError("not done yet")
        self.our_state = self.their_state = h11.IDLE
        self._method = b""

    def _head(self) -> h11.Request | None:
        received = self._received
        end = received.find(HEAD_END, max(0, self._looked_at - len(HEAD_END)))
        size = (len(received) if end < 0 else end) + len(HEAD_END)
        if size > self._head_max_bytes:
            raise _refusal("the head is too large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if end < 0:
            self._look_at_lines()
            return None
        self._looked_at = 0
        head = bytes(received[:size])
        del received[:size]
        request = self._request(head)
        self.their_state, self.our_state = h11.SEND_BODY, h11.SEND_RESPONSE
        return request

    def _look_at_lines(self) -> None:
        # Once over what has come, however small the pieces are that it comes in.
        if BAD_LINES.search(self._received, max(0, self._looked_at - 1)):
            raise _refusal("lines must end in CR LF, and be none another's continuation")
        self._looked_at = len(self._received)

    def _request(self, head: bytes) -> h11.Request:
        line = REQUEST_LINE.match(head)
        if line is None:
            raise _refusal("this is no request line")
        method, target, version = line.groups()
        if version not in (b"1.0", b"1.1"):
            raise _refusal("only HTTP/1.1 is spoken here")
        if method == b"CONNECT":
            raise _refusal("this is no proxy", HTTPStatus.NOT_IMPLEMENTED)
        if not path_of(target).startswith(b"/"):
            raise _refusal("the target must be a path")
        headers = self._headers(head)
        self._method, self._version = method, version
        self._left, self._keep_alive, self._silent = 0, version == b"1.1", 0
        for name, value in headers:
            match name:
                case b"content-length":
                    self._left = int(value)
                case b"transfer-encoding":
                    if version == b"1.0" or value.lower() != b"chunked":
                        raise _refusal(
                            "a body may come in chunks, and in no other coding", HTTPStatus.NOT_IMPLEMENTED
                        )
                    self._left = None
                case b"host" if not HOST.fullmatch(value):
                    raise _refusal("this is no host")
                case b"connection" if b"close" in map(bytes.strip, value.lower().split(b",")):
                    self._keep_alive = False
                case b"expect" if value.lower() == b"100-continue":
                    self.they_are_waiting_for_100_continue = version == b"1.1"
        try:
            return h11.Request(method=method, target=target, headers=headers, http_version=version)
        except h11.LocalProtocolError as error:
            raise _refusal(str(error)) from None

    def _headers(self, head: bytes) -> Headers:
        found = self._found
        found.headers = []
        try:
            self._feed(head)
        except httptools.HttpParserUpgrade:  # an offer to speak something else, which may be passed over
            self._parser = _parser(found)
            found.headers, found.is_whole = [], False
            self._feed(OFFER.sub(b"", head))
        headers, found.headers = found.headers, None
        if len(headers) > self._headers_max:
            raise _refusal("the head has too many fields", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        return headers

    def _feed(self, data: bytes | bytearray) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserInvalidMethodError:
            raise _refusal("the method is not known", HTTPStatus.NOT_IMPLEMENTED) from None
        except httptools.HttpParserError as error:
            raise _refusal(str(error)) from None

    def _body(self) -> h11.Data | h11.EndOfMessage | None:
        found = self._found
        event: h11.Data | h11.EndOfMessage
        while self._received and not found.is_whole:
            piece = self._piece()
            if not piece:
                break
            before = len(found.body)
            self._feed(piece)
            # Extensions of chunks and trailers are for nobody here, and have an end.
            self._silent = 0 if len(found.body) > before else self._silent + len(piece)
            if self._silent > self._head_max_bytes:
                raise _refusal("a chunk says too much of itself", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if found.body:
            event = h11.Data(data=b"".join(found.body))
            found.body.clear()
        elif found.is_whole:
            event = END
            found.is_whole = False
            self.their_state = h11.DONE if self._keep_alive else h11.MUST_CLOSE
        else:
            return None
        self.they_are_waiting_for_100_continue = False
        return event

    def _piece(self) -> bytearray:
        """What is certainly the request's of what has come: chunks end with a line, behind which may be another."""
        received = self._received
        if self._left is not None:
            size = min(self._left, len(received))
            self._left -= size
        else:
            size = received.find(LINE_END) + len(LINE_END)
            if size < len(LINE_END):
                size = len(received) - received.endswith(LINE_END[:1])
        piece = received[:size]
        del received[:size]
        return piece

    # What is answered

    @property
    def has_length(self) -> bool:
        """Whether the answer that was begun ends by its length."""
        return self._to_say is not None

    def head(self, status: int, headers: Headers) -> bytes:
        """Begin the answer; without a length it ends with its last chunk, or with the connection."""
        if not self._may_say(h11.IDLE, h11.SEND_RESPONSE):
            return b""
        headers = list(headers)
        length = next((int(value) for name, value in headers if name == b"content-length"), None)
        self._is_bodyless = self._method == b"HEAD" or status in BODYLESS
        self._to_say = 0 if self._is_bodyless else length
        is_open = length is None and status not in BODYLESS
        self._chunks = is_open and self._version == b"1.1" and not self._is_bodyless
        if is_open and self._version == b"1.1":
            headers.append(CHUNKED)
        elif is_open:
            self._keep_alive = False
        if CLOSE in headers:
            self._keep_alive = False
        elif not self._keep_alive:
            headers.append(CLOSE)
        self.our_state = h11.SEND_BODY
        self.they_are_waiting_for_100_continue = False
        return _lines(b"HTTP/1.1 %d " % status, headers)

    def body(self, data: bytes) -> bytes:
        """Go on with it; what has no body loses it here."""
        if not data or not self._may_say(h11.SEND_BODY) or self._is_bodyless:
            return b""
        if self._chunks:
            return b"%x\r\n%b\r\n" % (len(data), data)
        if self._to_say is not None:
            self._to_say -= len(data)
            if self._to_say < 0:
                raise h11.LocalProtocolError("the answer is longer than it was to be")
        return data

    def end(self) -> bytes:
        """That was all of it."""
        if not self._may_say(h11.SEND_BODY):
            return b""
        if self._to_say:
            raise h11.LocalProtocolError("the answer is shorter than it was to be")
        self.our_state = h11.DONE if self._keep_alive else h11.MUST_CLOSE
        return b"0\r\n\r\n" if self._chunks else b""

    def go_on(self, headers: Headers) -> bytes:
        """Have a client send what it has asked whether to send."""
        self.they_are_waiting_for_100_continue = False
        return _lines(b"HTTP/1.1 100 ", headers)

    def _may_say(self, *states: Any) -> bool:
        if self.our_state in states:
            return True
        if self.their_state is h11.ERROR:  # then the answer was another
            return False
        raise h11.LocalProtocolError(f"it is not the time for this: {self.our_state}")


class _Found:
    """What llhttp finds; `headers` are None once those of the head are taken."""

    __slots__ = ("body", "headers", "is_whole")

    def __init__(self) -> None:
        self.headers: Headers | None = None
        self.body: list[bytes] = []
        self.is_whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.headers is not None:
            self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        self.is_whole = True


def _parser(found: _Found) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(found)
    parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)  # no size is another for it
    return parser


def path_of(target: bytes) -> bytes:
    """A target in origin form; the absolute one is to be accepted too (RFC 9112 3.2.2)."""
    if target.startswith(b"/"):
        return target
    found = ABSOLUTE.match(target)
    if found is None:
        return target
    rest = target[found.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest


def _refusal(why: str, status: int = HTTPStatus.BAD_REQUEST) -> h11.RemoteProtocolError:
    return h11.RemoteProtocolError(why, error_status_hint=status)


def _lines(first: bytes, headers: Headers) -> bytes:
    lines = [first, *(b"%b: %b" % header for header in headers), LINE_END]
    head = LINE_END.join(lines)
    # A line's end within a value would let whoever has put it there go on in our name.
    if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines) or b"\0" in head:
        raise h11.LocalProtocolError("a header of the answer has a line's end in it")
    return head
