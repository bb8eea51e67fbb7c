"""The one way from a call to its handler, over gRPC and through the gateway: interceptors, then the handler.

Interceptors have synchronous hooks, so that one set serves calls of every shape and costs a call next to
nothing: `begin` before a message is looked at, `received` for each message, `ended` once, whatever happened.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import trio

from transport import errors
from transport.grpc.call import Call, Incoming
from transport.grpc.status import RpcFailed


class Interceptor:
    """What is done around every call. Hooks that are not overridden cost nothing."""

    def begin(self, call: Call) -> None:
        """A call has come; raise to refuse it."""

    def received(self, call: Call, message: Any) -> None:
        """A message of it has come; raise to refuse the call."""

    def ended(self, call: Call, failure: Exception | None) -> None:
        """It was answered, well or with this failure."""


class Pipeline:
    """Interceptors in their order; they end calls in the reverse one."""

    def __init__(self, interceptors: Sequence[Interceptor] = ()) -> None:
        self._begin = [each.begin for each in interceptors if _overrides(each, "begin")]
        self._received = [each.received for each in interceptors if _overrides(each, "received")]
        self._ended = [each.ended for each in reversed(interceptors) if _overrides(each, "ended")]

    def begin(self, call: Call) -> None:
        """To be called first; raises what the call is refused with."""
        for begin in self._begin:
            begin(call)

    async def unary(self, call: Call, message: Any) -> Any:
        """The answer to a call of one message and one answer."""
        self.received(call, message)
        return await call.method.handler(message, request=call)

    async def streaming(self, call: Call, incoming: Incoming) -> AsyncGenerator[Any, None]:
        """The answers to a call in which either side sends several."""
        method = call.method
        messages = Messages(self, call, incoming)
        argument = messages if method.client_streaming else await _first(messages)
        if not method.server_streaming:
            yield await method.handler(argument, request=call)
            return
        async with aclosing(method.handler(argument, request=call)) as answers:
            async for answer in answers:
                yield answer

    def received(self, call: Call, message: Any) -> None:
        """A message has come; raises what the call is refused with."""
        for received in self._received:
            received(call, message)

    def ended(self, call: Call, failure: Exception | None) -> None:
        """To be called once for every call."""
        for ended in self._ended:
            ended(call, failure)


class Messages:
    """What a handler is given of a client that sends several: those that have passed the interceptors."""

    def __init__(self, pipeline: Pipeline, call: Call, incoming: Incoming) -> None:
        self._pipeline = pipeline
        self._call = call
        self._incoming = incoming

    def receive_nowait(self) -> Any:
        """The next message; raises trio.WouldBlock, and trio.EndOfChannel after the last."""
        message = self._incoming.receive_nowait()
        self._pipeline.received(self._call, message)
        return message

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> Any:
        while True:
            try:
                return self.receive_nowait()
            except trio.WouldBlock:
                await self._call.bell.wait()
            except trio.EndOfChannel:
                raise StopAsyncIteration from None


async def _first(messages: Messages) -> Any:
    async for message in messages:
        return message
    raise RpcFailed(errors.INTERNAL, "the request must be exactly one message")


def _overrides(interceptor: Interceptor, hook: str) -> bool:
    return getattr(type(interceptor), hook) is not getattr(Interceptor, hook)
