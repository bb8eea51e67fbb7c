"""How a call ends over HTTP: statuses and bodies as grpc-gateway has them.

https://github.com/grpc-ecosystem/grpc-gateway/blob/main/runtime/errors.go
"""

from __future__ import annotations

from http import HTTPStatus

from domain.errors import Code, ServiceError
from transport import errors
from transport.answer import CLIENT_GONE, JSON, Answer
from transport.gateway import messages
from transport.grpc.status import Headers, described

_STATUSES = {
    errors.OK: HTTPStatus.OK,
    errors.CANCELLED: CLIENT_GONE,
    errors.UNKNOWN: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    errors.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    errors.NOT_FOUND: HTTPStatus.NOT_FOUND,
    errors.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    errors.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    errors.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    errors.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    errors.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    errors.ABORTED: HTTPStatus.CONFLICT,
    errors.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    errors.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    errors.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DATA_LOSS: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class HttpFailed(ServiceError):
    """A request is wrong as HTTP has it; no status of gRPC's says so."""

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        code: Code = Code.INVALID_ARGUMENT,
        *,
        headers: Headers | None = None,
    ) -> None:
        super().__init__(code, message)
        self.status = status
        self.headers = headers or []


def http_status(status: int) -> int:
    """The HTTP status of gRPC's number; one that nobody knows is a failure of ours."""
    return _STATUSES.get(status, HTTPStatus.INTERNAL_SERVER_ERROR)


def failed(error: Exception, request_id: str = "") -> Answer:
    """What a client is told of an error: a `google.rpc.Status` as JSON, and in headers what gRPC has in trailers."""
    status, beside = described(error, request_id)
    number = error.status if isinstance(error, HttpFailed) else http_status(status.code)
    headers = [JSON, *beside, *(error.headers if isinstance(error, HttpFailed) else ())]
    if number == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    return Answer(number, headers, messages.encode(messages.document_of(status)))


def last_line(error: Exception, request_id: str) -> bytes:
    """What a client is told of an error after its answer has begun."""
    status, _ = described(error, request_id)
    return messages.encode({"error": messages.document_of(status)}) + b"\n"
