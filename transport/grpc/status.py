"""How a call ends: a status, told in trailers, or by the gateway in the answer itself."""

from __future__ import annotations

import base64
import logging
from urllib.parse import quote

from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from domain.errors import Code, ServiceError
from transport import errors
from transport.request_id import new_request_id

log = logging.getLogger(__name__)

Headers = list[tuple[bytes, bytes]]

# grpc-message is percent-encoded where it is not printable ASCII, or a percent sign.
MESSAGE_SAFE = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"

SUCCESS: Headers = [(b"grpc-status", b"0")]


class RpcFailed(Exception):
    """A call ends with a status that is gRPC's own business and has no code of the contract."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


CLIENT_GONE = RpcFailed(errors.CANCELLED, "the client has cancelled the call")


def status_of(error: Exception | None) -> int:
    """gRPC's number for how a call ended."""
    if isinstance(error, RpcFailed):
        return error.status
    if isinstance(error, ServiceError):
        return errors.grpc_status(error.code)
    return errors.OK if error is None else errors.INTERNAL


def described(error: Exception, request_id: str = "") -> tuple[status_pb2.Status, Headers]:
    """What a client is told of `error`, and the trailers beside it; of a defect nothing but a request id."""
    if isinstance(error, RpcFailed):
        return status_pb2.Status(code=error.status, message=error.message), []
    if isinstance(error, ServiceError):
        return _service_error(error)
    request_id = request_id or new_request_id()
    log.error("request %s failed", request_id, exc_info=error)
    status = status_pb2.Status(code=errors.INTERNAL, message=f"internal error, request id {request_id}")
    return status, [(b"error-code", Code.INTERNAL.value.encode()), (b"request-id", request_id.encode())]


def trailers_of(error: Exception, request_id: str = "") -> Headers:
    """The trailers that tell a client of `error`."""
    status, beside = described(error, request_id)
    encoded = quote(status.message.strip(), safe=MESSAGE_SAFE).encode()
    trailers = [(b"grpc-status", str(status.code).encode()), (b"grpc-message", encoded), *beside]
    if status.details:
        details = base64.b64encode(status.SerializeToString()).rstrip(b"=")
        trailers.append((b"grpc-status-details-bin", details))
    return trailers


def _service_error(error: ServiceError) -> tuple[status_pb2.Status, Headers]:
    status = status_pb2.Status(code=errors.grpc_status(error.code), message=error.message)
    trailers = [(b"error-code", error.code.value.encode())]
    if error.fields:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=each.field, description=each.message)
            for each in error.fields
        ]
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=violations))
    if error.retry_after_s is not None:
        trailers.append((b"retry-after", str(error.retry_after_s).encode()))
        delay = Duration(seconds=error.retry_after_s)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status, trailers
