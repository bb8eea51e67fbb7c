"""One HTTP request that is a call: made through the pipeline of gRPC, answered as a whole or line by line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import trio

from domain.errors import Code, DeadlineExceeded
from transport.answer import JSON, Answer, send_whole
from transport.asgi import Send
from transport.gateway.bindings import Binding
from transport.gateway.body import Body, Single, Streamed
from transport.gateway.lines import Lines
from transport.gateway.status import HttpFailed, failed, last_line
from transport.grpc.call import Burst, Call
from transport.grpc.interceptors import REQUEST_ID
from transport.grpc.pipeline import Pipeline
from transport.grpc.status import CLIENT_GONE, Headers

LINES_AT_ONCE = 256
"""Lines that are written in one go, before others have their turn."""
JSON_TYPES = (b"", b"application/json")
STREAM_TYPES = (*JSON_TYPES, b"application/x-ndjson")


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """Bounds of a request and its answer.

    A body, or one message of it where it has several, is `message_max_bytes` at most. An answer that is no stream is
    given within `answer_s`, before the connection's own patience is over. One that is begins after `begin_s`.
    """

    message_max_bytes: int = 256 * 1024
    answer_s: float = 25.0
    begin_s: float = 0.2


class HttpCall(Call):
    """A call that came over HTTP."""

    transport = "gateway"

    __slots__ = ()


class Exchange:
    """`parse` makes a message of a body, or of a part of one."""

    def __init__(
        self,
        call: Call,
        binding: Binding,
        body: Body,
        parse: Callable[[bytes], Any],
        pipeline: Pipeline,
        limits: GatewayLimits,
        send: Send,
    ) -> None:
        self._call = call
        self._binding = binding
        self._body = body
        self._parse = parse
        self._pipeline = pipeline
        self._limits = limits
        self._send = send

    async def whole(self) -> None:
        """Answer as a whole."""
        call, content = self._call, b""

        async def respond() -> None:
            nonlocal content
            call.scope.deadline = min(call.scope.deadline, call.began_at + self._limits.answer_s)
            content = self._binding.answer(await self._response())

        failure = await self._failure_of(respond)
        answer = Answer(HTTPStatus.OK, [JSON], content)
        if not self._body.client_gone:
            await self._send_whole(answer if failure is None else failed(failure, call.request_id))

    async def lines(self) -> None:
        """Answer line by line."""
        lines = Lines(self._send, self._headers)
        async with trio.open_nursery() as nursery:

            async def respond() -> None:
                incoming = await self._incoming()
                nursery.start_soon(lines.begin_soon, self._limits.begin_s)
                async with aclosing(self._pipeline.streaming(self._call, incoming)) as answers:
                    async for answer in answers:
                        await self._write(lines, answer if type(answer) is Burst else (answer,))

            failure = await self._failure_of(respond)
            if not self._body.client_gone:
                await self._end(lines, failure)
            nursery.cancel_scope.cancel()

    async def _failure_of(self, respond: Callable[[], Awaitable[None]]) -> Exception | None:
        """Do what a call is about, and tell the pipeline how it ended: its failure may be its time or its client."""
        call = self._call
        failure: Exception | None = CLIENT_GONE  # for who cancels us has given the client up
        try:
            with call.scope:
                try:
                    self._begin()
                    await respond()
                    failure = None
                except Exception as error:  # every failure of a call is told to its client, and ends there
                    failure = error
            if call.scope.cancelled_caught and not self._body.client_gone:
                failure = DeadlineExceeded() if self._body.complete else _late()
        finally:
            self._pipeline.ended(call, failure)
        return failure

    def _begin(self) -> None:
        self._pipeline.begin(self._call)
        if not self._binding.body:
            return
        kind = (self._call.raw_header(b"content-type") or b"").partition(b";")[0].strip().lower()
        coding = self._call.raw_header(b"content-encoding") or b"identity"
        accepted = STREAM_TYPES if self._call.method.client_streaming else JSON_TYPES
        if kind not in accepted or coding != b"identity":
            raise HttpFailed(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be application/json, not encoded"
            )

    async def _incoming(self) -> Streamed | Single:
        if self._call.method.client_streaming:
            return Streamed(self._body, self._parse)
        return Single(self._parse(await self._body.whole()))

    async def _response(self) -> Any:
        if not self._call.method.client_streaming:
            return await self._pipeline.unary(self._call, self._parse(await self._body.whole()))
        async with aclosing(self._pipeline.streaming(self._call, await self._incoming())) as answers:
            return await anext(answers)

    def _headers(self) -> Headers:
        call = self._call
        others = [(name, value) for name, value in call.trailers if name != REQUEST_ID]
        return [(REQUEST_ID, call.request_id.encode()), *others]

    async def _send_whole(self, answer: Answer) -> None:
        await send_whole(self._send, answer._replace(headers=[*answer.headers, *self._headers()]))

    async def _write(self, lines: Lines, answers: Sequence[Any]) -> None:
        for start in range(0, len(answers), LINES_AT_ONCE):
            documents = map(self._binding.answer, answers[start : start + LINES_AT_ONCE])
            await lines.write(b"".join([b'{"result":%b}\n' % document for document in documents]))

    async def _end(self, lines: Lines, failure: Exception | None) -> None:
        if failure is None:
            await lines.end()
        elif await lines.has_begun():
            await lines.end(last_line(failure, self._call.request_id))
        else:
            await self._send_whole(failed(failure, self._call.request_id))


def _late() -> HttpFailed:
    return HttpFailed(HTTPStatus.REQUEST_TIMEOUT, "the request did not come in time", Code.DEADLINE_EXCEEDED)
