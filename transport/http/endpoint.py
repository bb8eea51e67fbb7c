"""What every route of v1 has in common: an operation with a rule, JSON in, JSON out.

A route says which operation it is, what body it takes and what it gives; the rest is done here once:
authentication before anything is read, strict decoding, encoding. The list of what routes say of themselves is
what the API's description is made from.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
import trio
from quart import Blueprint, Response, request
from werkzeug.routing import BaseConverter

from application.service import Service
from domain.errors import DeadlineExceeded, ServiceError
from domain.policy import PUBLIC, Operation, Principal
from domain.users import Client
from domain.validation import RESERVED_USERNAMES
from transport.clients import client_of
from transport.errors import http_status
from transport.http import schemas
from transport.metrics import Metrics

log = logging.getLogger(__name__)

CLIENT_GONE = 499
"""What is counted where nobody waited for the answer."""

Handler = Callable[..., Awaitable[msgspec.Struct | Response | None]]


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


class Asked:
    """One request, as a handler sees it."""

    __slots__ = ("_principal", "_service", "replayed")

    def __init__(self, service: Service, principal: Principal | None) -> None:
        self._service = service
        self._principal = principal
        self.replayed = False

    @property
    def principal(self) -> Principal:
        """Who makes it; there is nobody only where the operation is public."""
        assert self._principal is not None
        return self._principal

    @property
    def client(self) -> Client:
        """Where it comes from."""
        return client_of(
            request.remote_addr or "",
            request.headers.getlist("X-Forwarded-For"),
            request.headers.get("User-Agent", ""),
            self._service.trusted_proxies,
        )

    @property
    def idempotency_key(self) -> str | None:
        """The key it was sent with."""
        return request.headers.get("Idempotency-Key")


class UsernameConverter(BaseConverter):
    """A segment of a path that is no word of our own, so that a resource's methods are its own alone."""

    regex = f"(?!(?:{'|'.join(RESERVED_USERNAMES)})$)[^/]+"


class Endpoints:
    """The routes on one service; each operation is one route at most."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self.service = service
        self._metrics = metrics
        self.blueprint = Blueprint("v1", __name__)
        self.described: list[Endpoint] = []

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
    ) -> Callable[[Handler], Handler]:
        """Make a handler the route of an operation."""
        self.described.append(
            Endpoint(method, path, operation, takes, body_required, gives, status, query, moves_money)
        )
        service, public = self.service, operation in PUBLIC

        def install(handler: Handler) -> Handler:
            async def answer(**arguments: Any) -> Response:
                with self._metered(operation) as answered:
                    response = await carry_out(arguments)
                    answered(response.status_code)
                return response

            async def in_time(answer: Awaitable[msgspec.Struct | Response | None]) -> Any:
                with trio.move_on_after(service.request_timeout_s):
                    return await answer
                raise DeadlineExceeded

            async def carry_out(arguments: dict[str, Any]) -> Response:
                principal = None
                if not public:
                    principal = service.authenticator.principal(request.headers.getlist("Authorization"))
                asked = Asked(service, principal)
                if takes is not None:
                    raw: Any = await request.get_data()
                    arguments["body"] = schemas.decode(raw, takes) if raw or body_required else takes()
                response = _response(await in_time(handler(asked, **arguments)), status)
                if asked.replayed:
                    response.headers["Idempotency-Replayed"] = "true"
                return response

            self.blueprint.add_url_rule(path, operation.value, answer, methods=[method])
            return handler

        return install

    @contextmanager
    def _metered(self, operation: Operation) -> Iterator[Callable[[int], None]]:
        began_at, status = trio.current_time(), CLIENT_GONE

        def answered(code: int) -> None:
            nonlocal status
            status = code

        try:
            yield answered
        except ServiceError as error:
            status = http_status(error.code)
            raise
        except Exception as error:
            status = getattr(error, "code", None) or HTTPStatus.INTERNAL_SERVER_ERROR
            raise
        finally:
            took_s = trio.current_time() - began_at
            self._metrics.answered("v1", operation, status, took_s)
            if log.isEnabledFor(logging.INFO):
                log.info("%s %s: status %d in %.1f ms", request.method, request.path, status, took_s * 1000)

    def page(self, method: str, path: str) -> Callable[[Handler], Handler]:
        """Make a handler a page or a probe: for anybody, and no operation of its own."""

        def install(handler: Handler) -> Handler:
            async def answer() -> Response:
                return _response(await handler(Asked(self.service, None)), HTTPStatus.OK)

            self.blueprint.add_url_rule(path, handler.__name__, answer, methods=[method])
            return handler

        return install


def _response(document: msgspec.Struct | Response | None, status: HTTPStatus) -> Response:
    if isinstance(document, Response):
        return document
    if document is None:
        return Response(b"", status)
    return Response(schemas.encode(document), status, content_type="application/json")
