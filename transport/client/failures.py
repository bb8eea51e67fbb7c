"""How a call may fail, and what its caller may conclude from it.

CallFailed
 ├── StatusError       the service answered, with a status other than OK
 └── NoAnswer          the connection or the stream ended without a status: it was carried out, or not
      └── NotSent      nothing of it was carried out, so it may be sent again, whatever it is
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import unquote

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from domain.errors import Code, FieldError
from transport import errors


class CallFailed(Exception):
    """One line for a person."""


class NoAnswer(CallFailed):
    """The connection or the stream ended without a status."""


class NotSent(NoAnswer):
    """Nothing of the call was carried out: it was not sent, or the server says that it has not looked at it."""


class StatusError(CallFailed):
    """The service's answer, when it is not the one that was asked for.

    `status` is gRPC's number, `code` the contract's word (empty where the answer is not the service's own), and
    `retry_after_s` is None where the service did not say when to come back.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        fields: tuple[FieldError, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{code or f'gRPC status {status}'}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields
        self.retry_after_s = retry_after_s


def check_status(trailers: Mapping[str, str]) -> None:
    """Raises what the trailers tell, where it is not success."""
    if trailers["grpc-status"] != "0":
        raise status_error(trailers)


def status_error(trailers: Mapping[str, str]) -> StatusError:
    """What trailers with a status other than OK tell."""
    status, retry_after = trailers["grpc-status"], trailers.get("retry-after", "")
    return StatusError(
        int(status) if status.isdecimal() else errors.UNKNOWN,
        trailers.get("error-code", ""),
        unquote(trailers.get("grpc-message", "")),
        fields=_fields(trailers.get("grpc-status-details-bin", "")),
        retry_after_s=float(retry_after) if retry_after.isdecimal() else None,
    )


def deadline_exceeded(timeout_s: float) -> StatusError:
    """What a call ends with whose time is over here, whatever the service says later."""
    return StatusError(
        errors.DEADLINE_EXCEEDED, Code.DEADLINE_EXCEEDED.value, f"no answer within {timeout_s:g} s"
    )


def _fields(details: str) -> tuple[FieldError, ...]:
    """The bad fields; details that cannot be read are none, as the status says enough."""
    found: list[FieldError] = []
    try:
        status = status_pb2.Status.FromString(base64.b64decode(details + "=" * (-len(details) % 4)))
        for detail in status.details:
            bad_request = error_details_pb2.BadRequest()
            if detail.Unpack(bad_request):
                found += (FieldError(each.field, each.description) for each in bad_request.field_violations)
    except (binascii.Error, DecodeError):
        return ()
    return tuple(found)
