"""What is done around every call, in the order of `interceptors`."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Collection, Iterable
from typing import Any

import trio

from application.authentication import Authenticator
from application.service import Service
from domain import validation
from domain.policy import PUBLIC, check
from transport.grpc.call import Call
from transport.grpc.methods import Method
from transport.grpc.pipeline import Interceptor
from transport.grpc.rules import beyond_rules, compile_rules
from transport.grpc.status import status_of
from transport.metrics import Metrics
from transport.request_id import new_request_id

log = logging.getLogger(__name__)

_SENT_ID = re.compile(rb"[!-~]{1,64}")
REQUEST_ID = b"x-request-id"


def interceptors(service: Service, metrics: Metrics, methods: Iterable[Method]) -> list[Interceptor]:
    """All of them, outermost first, for these methods."""
    return [
        RequestIds(),
        Log(),
        Meter(metrics),
        Deadlines(service.request_timeout_s),
        Authentication(service.authenticator),
        Validation(methods, service.ledger.currencies),
    ]


class RequestIds(Interceptor):
    """Every call has an id: the client's own, which it is told again, or a new one."""

    def begin(self, call: Call) -> None:
        sent = call.raw_header(REQUEST_ID)
        if sent is None or not _SENT_ID.fullmatch(sent):
            call.request_id = new_request_id()
            return
        call.request_id = sent.decode()
        call.trailers.append((REQUEST_ID, sent))


class Log(Interceptor):
    """A line for each call, at level INFO."""

    def ended(self, call: Call, failure: Exception | None) -> None:
        if log.isEnabledFor(logging.INFO):
            path, took_ms = call.method.path.decode(), (trio.current_time() - call.began_at) * 1000
            log.info("%s %s: status %d in %.1f ms", call.request_id, path, status_of(failure), took_ms)


class Meter(Interceptor):
    """Counts calls and their time by operation and status."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def ended(self, call: Call, failure: Exception | None) -> None:
        operation = call.method.operation
        if operation is not None:
            took_s = trio.current_time() - call.began_at
            self._metrics.answered(call.transport, operation, status_of(failure), took_s)


class Deadlines(Interceptor):
    """Whoever does not say how long they wait is not waited for longer than this; streams have no end."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    def begin(self, call: Call) -> None:
        if call.scope.deadline == math.inf and not call.method.streaming:
            call.scope.deadline = call.began_at + self._timeout_s


class Authentication(Interceptor):
    """Nobody but its bearer's own roles may reach an operation that is not public: deny by default."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def begin(self, call: Call) -> None:
        operation = call.method.operation
        if operation is None or operation in PUBLIC:
            return
        call.principal = self._authenticator.principal(call.values("authorization"))
        check(call.principal, operation)


class Validation(Interceptor):
    """What the rules of the .proto files refuse goes no further, and neither do currencies we do not have."""

    def __init__(self, methods: Iterable[Method], currencies: Collection[str]) -> None:
        beyond = beyond_rules(currencies)
        compiled = {each.request_type: compile_rules(each.request_type.DESCRIPTOR, beyond) for each in methods}
        self._checks = {kind: check for kind, check in compiled.items() if check is not None}

    def received(self, call: Call, message: Any) -> None:
        check_message = self._checks.get(type(message))
        problems = check_message(message) if check_message is not None else ()
        if problems:
            validation.check((problem.field, problem.message) for problem in problems)
