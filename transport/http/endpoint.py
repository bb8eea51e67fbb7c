"""What every route of v1 has in common: an operation with a rule, JSON in, JSON out.

A route says which operation it is, what body it takes and what it gives; the rest is done here once:
authentication before anything is read, strict decoding, encoding. The list of what routes say of themselves is
what the API's description is made from.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
import trio
from quart import Blueprint, Response, request
from werkzeug.exceptions import RequestTimeout
from werkzeug.routing import BaseConverter

from application.service import Service
from domain.errors import DeadlineExceeded, ServiceError
from domain.policy import PUBLIC, Operation
from domain.validation import RESERVED_USERNAMES
from transport.answer import CLIENT_GONE, JSON, Answer, send_whole
from transport.asgi import App, Receive, Scope, Send
from transport.errors import http_status
from transport.http import schemas
from transport.http.asked import Asked, ClientGone, Read, sent, whole_body
from transport.http.limits import HttpLimits
from transport.http.problems import failed
from transport.metrics import Metrics

log = logging.getLogger(__name__)

REPLAYED = (b"idempotency-replayed", b"true")
Handler = Callable[..., Awaitable[msgspec.Struct | Answer | None]]
Way = Callable[[Scope, Read, dict[str, Any]], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a route says of itself."""

    method: str
    path: str
    operation: Operation
    takes: type[schemas.Request] | None
    body_required: bool
    gives: type[msgspec.Struct] | None
    status: HTTPStatus
    query: tuple[str, ...]
    moves_money: bool


class UsernameConverter(BaseConverter):
    """A segment of a path that is no word of our own, so that a resource's methods are its own alone."""

    regex = f"(?!(?:{'|'.join(RESERVED_USERNAMES)})$)[^/]+"


class Endpoints:
    """The routes on one service; each operation is one route at most."""

    def __init__(self, service: Service, metrics: Metrics, limits: HttpLimits) -> None:
        self.service = service
        self._metrics = metrics
        self._limits = limits
        self.blueprint = Blueprint("v1", __name__)
        self.described: list[Endpoint] = []
        self._short: dict[tuple[str, bytes], Way] = {}

    def __call__(
        self,
        method: str,
        path: str,
        operation: Operation,
        *,
        takes: type[schemas.Request] | None = None,
        body_required: bool = True,
        gives: type[msgspec.Struct] | None = None,
        status: HTTPStatus = HTTPStatus.OK,
        query: tuple[str, ...] = (),
        moves_money: bool = False,
        short: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Make a handler the route of an operation; one that is `short` is reached without Quart."""
        self.described.append(
            Endpoint(method, path, operation, takes, body_required, gives, status, query, moves_money)
        )
        service, limits, public = self.service, self._limits, operation in PUBLIC

        def install(handler: Handler) -> Handler:
            async def carry_out(scope: Scope, body: Read, arguments: dict[str, Any]) -> Answer:
                principal = None
                if not public:
                    principal = service.authenticator.principal(sent(scope, b"authorization"))
                asked = Asked(service, scope, principal)
                late: Exception = RequestTimeout()
                with trio.move_on_after(limits.body_s) as time:
                    if takes is not None:
                        raw = await body()
                        arguments["body"] = schemas.decode(raw, takes) if raw or body_required else takes()
                    late, time.deadline = DeadlineExceeded(), trio.current_time() + service.request_timeout_s
                    answer = _answer(await handler(asked, **arguments), status)
                    if asked.replayed:
                        answer.headers.append(REPLAYED)
                    return answer
                raise late

            async def answer(scope: Scope, body: Read, arguments: dict[str, Any]) -> Answer:
                began_at, status = trio.current_time(), CLIENT_GONE
                try:
                    answer = await carry_out(scope, body, arguments)
                    status = answer.status
                except Exception as error:
                    status = _status_of(error)
                    raise
                finally:
                    self._answered(operation, scope, status, trio.current_time() - began_at)
                return answer

            async def view(**arguments: Any) -> Response:
                return response_of(await answer(request.scope, _quarts_body, arguments))

            self.blueprint.add_url_rule(path, operation.value, view, methods=[method])
            if short:
                self._short[method, path.encode()] = answer
            return handler

        return install

    def mounted(self, app: App) -> App:
        """The app with the short ways in front of it."""
        ways = self._short

        async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
            way = ways.get((scope["method"], scope["raw_path"])) if scope["type"] == "http" else None
            if way is None:
                await app(scope, receive, send)
                return
            try:
                answer = await way(scope, partial(whole_body, receive, self._limits.body_max_bytes), {})
            except ClientGone:
                return
            except Exception as error:
                answer = failed(error)
            await send_whole(send, answer)

        return dispatch

    def _answered(self, operation: Operation, scope: Scope, status: int, took_s: float) -> None:
        self._metrics.answered("v1", operation, status, took_s)
        if log.isEnabledFor(logging.INFO):
            log.info("%s %s: status %d in %.1f ms", scope["method"], scope["path"], status, took_s * 1000)

    def page(self, method: str, path: str) -> Callable[[Handler], Handler]:
        """Make a handler a page or a probe: for anybody, and no operation of its own."""

        def install(handler: Handler) -> Handler:
            async def view() -> Response:
                asked = Asked(self.service, request.scope, None)
                return response_of(_answer(await handler(asked), HTTPStatus.OK))

            self.blueprint.add_url_rule(path, handler.__name__, view, methods=[method])
            return handler

        return install


def _status_of(error: Exception) -> int:
    if isinstance(error, ServiceError):
        return http_status(error.code)
    return getattr(error, "code", None) or HTTPStatus.INTERNAL_SERVER_ERROR


async def _quarts_body() -> bytes:
    body: bytes = await request.get_data(as_text=False)  # type: ignore[assignment]
    return body


def response_of(answer: Answer) -> Response:
    """What Quart is given for an answer."""
    response = Response(answer.body, answer.status)
    response.headers.remove("Content-Type")
    for name, value in answer.headers:
        response.headers.add(name.decode(), value.decode("latin-1"))
    return response


def _answer(document: msgspec.Struct | Answer | None, status: HTTPStatus) -> Answer:
    if isinstance(document, Answer):
        return document
    if document is None:
        return Answer(status, [], b"")
    return Answer(status, [JSON], schemas.encode(document))
