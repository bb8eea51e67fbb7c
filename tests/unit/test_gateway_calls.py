"""Calls over HTTP from the ASGI messages of a request to those of its answer, on handlers of the test's own."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from domain.errors import Code, NotFound, ServiceError, Unauthenticated, Unavailable
from tests.support.protos import Protos
from transport.gateway.exchange import GatewayLimits
from transport.gateway.gateway import Gateway
from transport.gateway.routes import routes_of
from transport.grpc.call import Burst
from transport.grpc.methods import Method
from transport.grpc.pipeline import Interceptor, Pipeline
from transport.grpc.status import CLIENT_GONE, status_of

PROTOS = Protos(
    """
    message Item { int64 id = 1; string text = 2; }
    service Items {
      rpc Get(Item) returns (Item) { option (google.api.http) = { get: "/v2/items/{id}" }; }
      rpc Put(Item) returns (Item) { option (google.api.http) = { put: "/v2/items/{id}" body: "*" }; }
      rpc Watch(Item) returns (stream Item) { option (google.api.http) = { get: "/v2/items/{id}:watch" }; }
      rpc Search(Item) returns (stream Item) { option (google.api.http) = { post: "/v2/items:search" body: "*" }; }
      rpc Chat(stream Item) returns (stream Item) { option (google.api.http) = { post: "/v2/items:chat" body: "*" }; }
      rpc Join(stream Item) returns (Item) { option (google.api.http) = { post: "/v2/items:join" body: "*" }; }
    }
    """
)
Item = PROTOS.type("Item")
LIMITS = GatewayLimits(message_max_bytes=1_000, answer_s=20, begin_s=0.2)


class Ended(Interceptor):
    """Remembers what was called and how it ended; refuses whoever says nobody."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.statuses: list[int] = []

    def begin(self, call: Any) -> None:
        call.request_id = "id-1"
        self.calls.append(call)
        if call.values("authorization") == ["nobody"]:
            raise Unauthenticated("nobody is not known")

    def ended(self, call: Any, failure: Exception | None) -> None:
        self.statuses.append(status_of(failure))


class Items:
    """The handlers; a test sets what they are to do."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.emitted = 0
        self.do: Any = None

    async def unary(self, message: Any, request: Any) -> Any:
        self.received.append(message)
        if self.do is not None:
            await self.do(request)
        return Item(id=message.id, text=message.text or "?")

    async def stream(self, message: Any, request: Any) -> Any:
        async with aclosing(self.do(request)) as numbers:
            async for number in numbers:
                self.emitted += 1
                yield Item(id=number) if isinstance(number, int) else Burst([Item(id=each) for each in number])

    async def chat(self, messages: Any, request: Any) -> Any:
        async for message in messages:
            self.received.append(message)
            if self.do is not None:
                await self.do(request)
            yield message

    async def join(self, messages: Any, request: Any) -> Any:
        return Item(text=",".join([message.text async for message in messages]))


class Answer:
    """What a client has been sent. While it does not `read`, whoever sends waits."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.reading = trio.Event()
        self.reading.set()

    async def send(self, message: dict[str, Any]) -> None:
        await self.reading.wait()
        self.sent.append(message)

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(each.get("body", b"") for each in self.sent[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def complete(self) -> bool:
        return self.sent[-1]["type"] == "http.response.body" and not self.sent[-1].get("more_body")


class Request:
    """One request under way: its client sends with `say` and `finish`, and goes with `leave`."""

    def __init__(self, bench: Bench, request: str, headers: dict[str, str]) -> None:
        method, _, target = request.partition(" ")
        path, _, query = target.partition("?")
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self.scope = {
            "type": "http",
            "method": method,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": pairs,
            "client": ("192.0.2.7", 4711),
        }
        self.answer = Answer()
        self._app = bench.app
        self._put, self._receive = trio.open_memory_channel[dict[str, Any]](100)

    @property
    def unread(self) -> int:
        return self._put.statistics().current_buffer_used

    def say(self, data: bytes) -> None:
        self._put.send_nowait({"type": "http.request", "body": data, "more_body": True})

    def finish(self, data: bytes = b"") -> None:
        self._put.send_nowait({"type": "http.request", "body": data, "more_body": False})

    def leave(self) -> None:
        self._put.send_nowait({"type": "http.disconnect"})

    async def run(self) -> None:
        await self._app(self.scope, self._receive.receive, self.answer.send)


class Bench:
    """A gateway on `Items`."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.items, self.ended, self._nursery = Items(), Ended(), nursery
        items = self.items
        handlers = {
            "Get": items.unary,
            "Put": items.unary,
            "Watch": items.stream,
            "Search": items.stream,
            "Chat": items.chat,
            "Join": items.join,
        }
        methods = [
            Method(
                f"/example.Items/{each.name}".encode(),
                handlers[each.name],
                Item,
                each.client_streaming,
                each.server_streaming,
                None,
            )
            for each in PROTOS.service("Items").methods
        ]
        router = routes_of([PROTOS.service("Items")], {each.path: each for each in methods})
        self.gateway = Gateway(router, Pipeline([self.ended]), LIMITS)
        self.app = self.gateway.mounted(self.elsewhere)

    async def elsewhere(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body"})

    def begin(self, request: str, **headers: str) -> Request:
        """A request whose body the test sends."""
        begun = Request(self, request, {name.replace("_", "-"): value for name, value in headers.items()})
        self._nursery.start_soon(begun.run)
        return begun

    async def ask(self, request: str, body: Any = None, **headers: str) -> Answer:
        """A whole request, and its whole answer."""
        begun = self.begin(request, **headers)
        begun.finish(body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode())
        await wait_all_tasks_blocked()
        assert begun.answer.complete
        return begun.answer


@pytest.fixture
def bench(nursery: trio.Nursery) -> Bench:
    return Bench(nursery)


# Routes


async def test_a_request_is_a_call_and_its_answer_json(bench):
    answer = await bench.ask("PUT /v2/items/7", {"text": "x"})
    assert (answer.status, answer.json) == (200, {"id": "7", "text": "x"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["x-request-id"] == "id-1"
    assert bench.items.received == [Item(id=7, text="x")]
    assert bench.ended.statuses == [0]


async def test_a_call_has_the_headers_and_the_address_of_its_request(bench):
    await bench.ask("GET /v2/items/7", idempotency_key="k", grpc_timeout="5S", user_agent="me")
    [call] = bench.ended.calls
    assert (call.header("idempotency-key"), call.header("user-agent"), call.peer) == ("k", "me", "192.0.2.7")
    assert call.deadline == call.began_at + 5
    assert call.transport == "gateway"


async def test_trailers_are_headers(bench):
    async def do(call: Any) -> None:
        call.set_trailer("idempotency-replayed", "true")

    bench.items.do = do
    assert (await bench.ask("GET /v2/items/7")).headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("path", ["/", "/v1/items/7", "/v2", "/v20/x", "*"])
async def test_what_is_not_below_the_prefix_is_somebody_elses(bench, path):
    assert (await bench.ask(f"GET {path}")).status == 299


# RFC 9112 3.2.2: "a server MUST accept the absolute-form in requests"
async def test_a_target_may_be_a_whole_url(bench):
    assert (await bench.ask("GET http://bank.example/v2/items/7")).json["id"] == "7"
    assert (await bench.ask("GET http://bank.example/v1/items/7")).status == 299


@pytest.mark.parametrize("path", ["/v2/", "/v2/nothing", "/v2/items/", "/v2/items/7/8"])
async def test_a_path_that_is_none_is_not_found(bench, path):
    answer = await bench.ask(f"GET {path}")
    assert (answer.status, answer.json["code"], answer.headers["error-code"]) == (404, 5, "not_found")
    assert not bench.ended.calls


# RFC 9110 15.5.6: "The origin server MUST generate an Allow header field in a 405 response"
@pytest.mark.parametrize(
    ("request_line", "allow"),
    [
        ("POST /v2/items/7", "GET, HEAD, OPTIONS, PUT"),
        ("BREW /v2/items/7", "GET, HEAD, OPTIONS, PUT"),
        ("GET /v2/items:search", "OPTIONS, POST"),
        ("HEAD /v2/items/7:watch", "GET, OPTIONS"),
        ("HEAD /v2/items:chat", "OPTIONS, POST"),
    ],
)
async def test_a_method_that_a_path_does_not_have_is_not_allowed(bench, request_line, allow):
    answer = await bench.ask(request_line)
    assert (answer.status, answer.headers["allow"]) == (405, allow)
    assert answer.headers["error-code"] == "invalid_argument"


async def test_options_tells_the_methods(bench):
    answer = await bench.ask("OPTIONS /v2/items/7")
    assert (answer.status, answer.body, answer.headers) == (204, b"", {"allow": "GET, HEAD, OPTIONS, PUT"})
    assert (await bench.ask("OPTIONS /v2/nothing")).status == 404


# RFC 9110 9.3.2: "the server SHOULD send the same header fields in response to a HEAD request as it would have sent if
# the request method had been GET"; that its content is not sent is the connection's business.
async def test_head_is_get(bench):
    got, headed = await bench.ask("GET /v2/items/7"), await bench.ask("HEAD /v2/items/7")
    assert (headed.status, headed.headers) == (got.status, got.headers)


def test_a_path_outside_of_the_prefix_does_not_start():
    protos = Protos(
        """
        message Item {}
        service Items { rpc Get(Item) returns (Item) { option (google.api.http) = { get: "/v1/items" }; } }
        """
    )
    method = Method(b"/example.Items/Get", None, protos.type("Item"), False, False, None)
    with pytest.raises(ValueError, match="must begin with /v2/"):
        routes_of([protos.service("Items")], {method.path: method})


# Bodies


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", ""])
async def test_a_body_is_json(bench, kind):
    headers = {"content_type": kind} if kind else {}
    assert (await bench.ask("PUT /v2/items/7", {}, **headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        *(
            {"content_type": each}
            for each in ("application/x-www-form-urlencoded", "text/plain", "application/xml")
        ),
        *(
            {"content_type": each}
            for each in ("application/x-ndjson", "application/jsonx", "multipart/form-data")
        ),
        {"content_encoding": "gzip"},
    ],
)
async def test_a_body_of_another_type_is_refused(bench, headers):
    answer = await bench.ask("PUT /v2/items/7", {}, **headers)
    assert (answer.status, answer.headers["error-code"]) == (415, "invalid_argument")
    assert not bench.items.received


async def test_what_has_no_body_has_no_type(bench):
    assert (await bench.ask("GET /v2/items/7", content_type="text/plain")).status == 200


async def test_a_body_that_says_it_is_too_large_is_not_waited_for(bench):
    request = bench.begin("PUT /v2/items/7", content_length="1001")
    await wait_all_tasks_blocked()
    assert request.answer.status == 413
    assert bench.ended.statuses == [3]


async def test_a_body_that_becomes_too_large_is_not_read_further(bench):
    request = bench.begin("PUT /v2/items/7", transfer_encoding="chunked")
    for _ in range(11):
        request.say(b" " * 100)
    await wait_all_tasks_blocked()
    assert request.answer.status == 413
    assert "1000 bytes" in request.answer.json["message"]


async def test_a_body_may_be_as_large_as_is_said(bench):
    assert (await bench.ask("PUT /v2/items/7", b"{}" + b" " * 998)).status == 200


async def test_what_is_wrong_with_a_request_names_its_field(bench):
    answer = await bench.ask("PUT /v2/items/7", {"text": 1})
    assert answer.status == 400
    assert answer.json["details"][0]["fieldViolations"][0]["field"] == "text"
    assert (await bench.ask("GET /v2/items/x")).json["details"][0]["fieldViolations"][0]["field"] == "id"
    assert bench.ended.statuses == [3, 3]


# Ends


async def test_who_is_not_let_in_is_told_before_the_body_is_read(bench):
    request = bench.begin("PUT /v2/items/7", authorization="nobody")
    await wait_all_tasks_blocked()
    assert request.answer.status == 401
    assert request.answer.headers["www-authenticate"] == "Bearer"
    assert bench.ended.statuses == [16]


async def test_a_failure_of_the_handler_is_the_answer(bench):
    async def do(call: Any) -> None:
        call.set_trailer("idempotency-replayed", "true")
        raise ServiceError(Code.INSUFFICIENT_FUNDS, "too little")

    bench.items.do = do
    answer = await bench.ask("GET /v2/items/7")
    assert (answer.status, answer.json["code"], answer.json["message"]) == (400, 9, "too little")
    assert answer.headers["error-code"] == "insufficient_funds"
    assert answer.headers["idempotency-replayed"] == "true"
    assert answer.headers["x-request-id"] == "id-1"


async def test_a_defect_of_the_handler_is_told_as_little_more_than_its_request(bench, caplog):
    async def do(call: Any) -> None:
        raise KeyError("secret")

    bench.items.do = do
    answer = await bench.ask("GET /v2/items/7")
    assert (answer.status, answer.json["message"]) == (500, "internal error, request id id-1")
    assert "secret" in caplog.text


async def test_an_answer_that_takes_too_long_is_not_waited_for(bench, autojump_clock):
    async def do(call: Any) -> None:
        await trio.sleep_forever()

    bench.items.do = do
    for timeout, after_s in (("1500m", 1.5), ("90S", LIMITS.answer_s)):
        began_at = trio.current_time()
        request = bench.begin("GET /v2/items/7", grpc_timeout=timeout)
        request.finish()
        await trio.sleep(after_s + 0.01)
        assert (request.answer.status, request.answer.json["code"]) == (504, 4)
        assert trio.current_time() - began_at < after_s + 1
    assert bench.ended.statuses == [4, 4]


# RFC 9110 15.5.9: "the server did not receive a complete request message within the time that it was prepared to wait"
async def test_a_body_that_does_not_come_is_not_waited_for(bench, autojump_clock):
    request = bench.begin("PUT /v2/items/7")
    request.say(b"{")
    await trio.sleep(LIMITS.answer_s + 0.01)
    assert (request.answer.status, request.answer.headers["error-code"]) == (408, "deadline_exceeded")


async def test_a_client_that_leaves_cancels_its_call(bench):
    cancelled = trio.Event()

    async def do(call: Any) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    bench.items.do = do
    request = bench.begin("GET /v2/items/7")
    request.finish()
    await wait_all_tasks_blocked()
    assert bench.gateway.statistics().calls == 1
    request.leave()
    await wait_all_tasks_blocked()
    assert cancelled.is_set()
    assert not request.answer.sent
    assert bench.ended.statuses == [status_of(CLIENT_GONE)]
    assert bench.gateway.statistics().calls == 0


async def test_whoever_gives_a_request_up_ends_its_call(bench):
    async def do(call: Any) -> None:
        await trio.sleep_forever()

    bench.items.do = do
    request = Request(bench, "GET /v2/items/7", {})
    request.finish()
    with trio.move_on_after(0.05):
        await request.run()
    assert bench.ended.statuses == [status_of(CLIENT_GONE)]


# Answers of many lines


async def test_an_answer_comes_line_by_line(bench):
    more = trio.Event()

    async def do(call: Any) -> Any:
        yield 1
        yield [2, 3]
        await more.wait()
        yield 4

    bench.items.do = do
    request = bench.begin("GET /v2/items/7:watch")
    request.finish()
    await wait_all_tasks_blocked()
    answer = request.answer
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["x-request-id"] == "id-1"
    assert "content-length" not in answer.headers
    assert [each["result"]["id"] for each in answer.lines] == ["1", "2", "3"]
    assert [each["body"].count(b"\n") for each in answer.sent[1:]] == [1, 2]
    assert not answer.complete
    more.set()
    await wait_all_tasks_blocked()
    assert answer.body.endswith(b'{"result":{"id":"4","text":""}}\n')
    assert answer.complete
    assert bench.ended.statuses == [0]


async def test_many_lines_at_once_leave_in_parts(bench):
    async def do(call: Any) -> Any:
        yield list(range(600))

    bench.items.do = do
    answer = await bench.ask("GET /v2/items/7:watch")
    assert [each["body"].count(b"\n") for each in answer.sent[1:]] == [256, 256, 88, 0]


async def test_a_failure_before_the_first_line_is_the_answer(bench):
    async def do(call: Any) -> Any:
        raise NotFound("item")
        yield

    bench.items.do = do
    answer = await bench.ask("GET /v2/items/7:watch")
    assert (answer.status, answer.headers["error-code"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/json"
    assert (await bench.ask("GET /v2/items/x:watch")).status == 400
    assert (await bench.ask("POST /v2/items:search", b"{")).status == 400
    assert (await bench.ask("GET /v2/items/7:watch", authorization="nobody")).status == 401


async def test_a_failure_after_the_first_line_is_the_last_one(bench):
    async def do(call: Any) -> Any:
        yield 1
        raise Unavailable("shutting down", Code.SHUTTING_DOWN)

    bench.items.do = do
    answer = await bench.ask("GET /v2/items/7:watch")
    assert answer.status == 200
    result, error = answer.lines
    assert result == {"result": {"id": "1", "text": ""}}
    assert (error["error"]["code"], error["error"]["message"]) == (14, "shutting down")
    assert error["error"]["details"][0]["retryDelay"] == "1s"
    assert bench.ended.statuses == [14]


async def test_an_answer_without_a_line_begins_after_a_moment(bench, autojump_clock):
    async def do(call: Any) -> Any:
        await trio.sleep(1)
        raise NotFound("item")
        yield

    bench.items.do = do
    request = bench.begin("GET /v2/items/7:watch")
    request.finish()
    await trio.sleep(LIMITS.begin_s - 0.01)
    assert not request.answer.sent
    await trio.sleep(0.02)
    assert request.answer.status == 200
    await trio.sleep(1)
    [line] = request.answer.lines
    assert line["error"]["code"] == 5
    assert request.answer.complete


async def test_a_client_that_does_not_read_is_waited_for(bench):
    async def do(call: Any) -> Any:
        for number in range(1_000):
            yield number

    bench.items.do = do
    request = bench.begin("GET /v2/items/7:watch")
    request.answer.reading = trio.Event()
    request.finish()
    await wait_all_tasks_blocked()
    assert bench.items.emitted == 1
    request.answer.reading.set()
    await wait_all_tasks_blocked()
    assert bench.items.emitted == 1_000


async def test_a_line_that_was_cut_off_is_the_last(bench, autojump_clock):
    """What follows half a line would be read as the rest of it; a client can tell an answer that has no end."""

    async def do(call: Any) -> Any:
        yield 1
        yield 2

    bench.items.do = do
    request = bench.begin("GET /v2/items/7:watch", grpc_timeout="1S")
    send, sending = request.answer.send, 0

    async def stuck(message: dict[str, Any]) -> None:
        nonlocal sending
        sending += 1
        if sending == 3:
            await trio.sleep_forever()
        await send(message)

    request.answer.send = stuck
    request.finish()
    await trio.sleep(2)
    assert bench.gateway.statistics().calls == 0
    assert not request.answer.complete
    assert len(request.answer.lines) == 1
    assert bench.ended.statuses == [4]


async def test_a_client_that_leaves_ends_its_stream(bench):
    async def do(call: Any) -> Any:
        yield 1
        await trio.sleep_forever()

    bench.items.do = do
    request = bench.begin("GET /v2/items/7:watch")
    request.finish()
    await wait_all_tasks_blocked()
    assert bench.gateway.statistics().streams == 1
    request.leave()
    await wait_all_tasks_blocked()
    assert bench.gateway.statistics().streams == 0
    assert not request.answer.complete
    assert bench.ended.statuses == [status_of(CLIENT_GONE)]


async def test_a_drain_is_told_to_every_call_now_and_later(bench):
    async def do(call: Any) -> Any:
        yield 1
        while not call.draining:
            await call.bell.wait()

    bench.items.do = do
    requests = [bench.begin("GET /v2/items/7:watch") for _ in range(2)]
    for request in requests:
        request.finish()
    await wait_all_tasks_blocked()
    assert not requests[0].answer.complete
    bench.gateway.drain()
    await wait_all_tasks_blocked()
    assert all(request.answer.complete for request in requests)
    assert len((await bench.ask("GET /v2/items/7:watch")).lines) == 1


# Requests of many messages


async def test_messages_are_taken_as_they_come_and_answered(bench):
    request = bench.begin("POST /v2/items:chat", content_type="application/x-ndjson")
    request.say(b'{"id": 1}\n{"id"')
    await wait_all_tasks_blocked()
    assert [each["result"]["id"] for each in request.answer.lines] == ["1"]
    request.say(b': "2"} {"id": 3}')
    await wait_all_tasks_blocked()
    assert [each["result"]["id"] for each in request.answer.lines] == ["1", "2", "3"]
    assert not request.answer.complete
    request.finish(b"\n")
    await wait_all_tasks_blocked()
    assert request.answer.complete
    assert bench.ended.statuses == [0]


async def test_a_stream_of_no_messages_is_answered_with_none(bench):
    answer = await bench.ask("POST /v2/items:chat")
    assert (answer.status, answer.body) == (200, b"")


async def test_many_messages_may_have_one_answer(bench):
    answer = await bench.ask("POST /v2/items:join", b'{"text": "a"}{"text": "b"}')
    assert (answer.json["text"], answer.headers["content-type"]) == ("a,b", "application/json")
    assert (await bench.ask("POST /v2/items:join", b'{"text": "a"}{"text": 1}')).status == 400


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (b'{"id": 1', "not whole"),
        (b"[1]", "must be a JSON object"),
        (b'{"id": 1]}', "not valid JSON"),
        (b'{"id": "x"}', "must be an integer"),
        (b'{"text": "' + b"x" * 1_000 + b'"}', "1000 bytes at most"),
    ],
)
async def test_a_message_that_is_none_ends_the_stream(bench, rest, message):
    answer = await bench.ask("POST /v2/items:chat", b'{"id": 7}\n' + rest)
    result, error = answer.lines
    assert result["result"]["id"] == "7"
    assert (error["error"]["code"], message in error["error"]["message"]) == (3, True)


async def test_what_is_not_used_is_not_read(bench):
    used = trio.Event()

    async def do(call: Any) -> None:
        await used.wait()

    bench.items.do = do
    request = bench.begin("POST /v2/items:chat")
    line = b'{"text": "' + b"x" * 900 + b'"}\n'
    for _ in range(50):
        request.say(line * 10)
    await wait_all_tasks_blocked()
    assert request.unread > 30  # of fifty, and more than the bound of what is held
    used.set()
    await wait_all_tasks_blocked()
    assert request.unread == 0
    assert len(request.answer.lines) == 500
    request.leave()


async def test_a_client_that_leaves_its_stream_unfinished_ends_it(bench):
    request = bench.begin("POST /v2/items:chat")
    request.say(b'{"id": 1}')
    await wait_all_tasks_blocked()
    request.leave()
    await wait_all_tasks_blocked()
    assert bench.gateway.statistics().calls == 0
    assert bench.ended.statuses == [status_of(CLIENT_GONE)]
