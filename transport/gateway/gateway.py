"""The HTTP gateway: requests under `PREFIX` are calls, made in-process through the pipeline of gRPC.

As grpc-gateway does it, but for what HTTP itself says otherwise (docs/decisions/0012).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

import trio

from domain.errors import NotFound, ServiceError
from domain.policy import Operation
from transport.answer import Answer, send_whole
from transport.asgi import App, Receive, Scope, Send
from transport.gateway.body import Body
from transport.gateway.exchange import Exchange, GatewayLimits, HttpCall
from transport.gateway.router import Match, Router
from transport.gateway.routes import PREFIX, Route
from transport.gateway.status import HttpFailed, failed
from transport.grpc.call import Call
from transport.grpc.methods import Method
from transport.grpc.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class GatewayStatistics:
    """Calls now, and how many of them are answered line by line."""

    calls: int
    streams: int


class Gateway:
    """Mounted in front of an app, which is asked for everything else."""

    def __init__(self, router: Router[Route], pipeline: Pipeline, limits: GatewayLimits | None = None) -> None:
        self._router = router
        self._pipeline = pipeline
        self._limits = limits or GatewayLimits()
        self._calls: set[Call] = set()
        self._draining = False

    def mounted(self, app: App) -> App:
        """The app with the gateway in front of it."""

        async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
            ours = scope["type"] == "http" and _path(scope).startswith(PREFIX)
            await (self._serve if ours else app)(scope, receive, send)

        return dispatch

    def drain(self) -> None:
        """Have calls that have no end of their own come to one, now and from now on."""
        self._draining = True
        for call in self._calls:
            call.drain()

    def statistics(self) -> GatewayStatistics:
        """A snapshot."""
        streams = sum(call.method.server_streaming for call in self._calls)
        return GatewayStatistics(len(self._calls), streams)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            match = self._find(scope["method"], _path(scope))
        except ServiceError as error:
            await send_whole(send, failed(error))
            return
        if isinstance(match, Answer):
            await send_whole(send, match)
        else:
            await self._call(match, scope, receive, send)

    def _find(self, method: str, path: str) -> Match[Route] | Answer:
        """The route of a request, or what it is answered without one; raises ServiceError."""
        match = self._router.find(method, path)
        if isinstance(match, Match):
            return match
        if not match:
            raise NotFound("path")
        read = self._router.find("GET", path)
        headed = isinstance(read, Match) and _has_head(read.target.method)
        if isinstance(read, Match) and headed and method == "HEAD":
            return read
        allow = (b"allow", ", ".join(sorted({*match, "OPTIONS", *(["HEAD"] if headed else [])})).encode())
        if method == "OPTIONS":
            return Answer(HTTPStatus.NO_CONTENT, [allow], b"")
        raise HttpFailed(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not allowed here", headers=[allow])

    async def _call(self, match: Match[Route], scope: Scope, receive: Receive, send: Send) -> None:
        method, binding = match.target
        call = HttpCall(method, list(scope["headers"]), (scope.get("client") or ("",))[0])
        body = Body(receive, call, self._limits.message_max_bytes)
        parse = partial(binding.request, match.segments, scope["query_string"].decode("latin-1"))
        exchange = Exchange(call, binding, body, parse, self._pipeline, self._limits, send)
        self._calls.add(call)
        if self._draining:
            call.drain()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(body.run)
                await (exchange.lines if method.server_streaming else exchange.whole)()
                nursery.cancel_scope.cancel()
        finally:
            self._calls.discard(call)


def _has_head(method: Method) -> bool:
    # To follow a link from a mail is a GET that changes something: who scans mails for links must not do it.
    return not method.server_streaming and method.operation is not Operation.VERIFY_EMAIL


def _path(scope: Scope) -> str:
    """The path as it was sent; a target may be a whole URL (RFC 9112 3.2.2)."""
    target: str = scope["raw_path"].decode("latin-1")
    return target if target.startswith("/") else urlsplit(target).path
