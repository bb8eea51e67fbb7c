"""Errors as `application/problem+json` (RFC 9457) with the stable `code` of the contract."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from werkzeug.exceptions import HTTPException

from domain.errors import Code, ServiceError
from transport.answer import Answer
from transport.errors import http_status
from transport.http.schemas import encode
from transport.refusals import REFUSALS
from transport.request_id import new_request_id

log = logging.getLogger(__name__)

PROBLEM_JSON = (b"content-type", b"application/problem+json")


def document(status: int, code: Code, detail: str, **members: Any) -> bytes:
    """One problem document, encoded."""
    title = HTTPStatus(status).phrase
    return encode(
        {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail, **members}
    )


def problem(
    status: int,
    code: Code,
    detail: str,
    *,
    retry_after_s: int | None = None,
    **members: Any,
) -> Answer:
    """The answer that is a problem."""
    headers = [PROBLEM_JSON]
    if retry_after_s is not None:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    return Answer(status, headers, document(status, code, detail, **members))


def own_code(status: int) -> Code:
    """The contract's code for a status that HTTP itself has given."""
    match status:
        case HTTPStatus.NOT_FOUND:
            return Code.NOT_FOUND
        case HTTPStatus.REQUEST_TIMEOUT:
            return Code.DEADLINE_EXCEEDED
        case HTTPStatus.NOT_IMPLEMENTED:
            return Code.INVALID_ARGUMENT
        case _:
            return Code.INTERNAL if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Code.INVALID_ARGUMENT


def refusal(code: Code) -> Answer:
    """A business refusal, which is an answer and not an error of anybody's."""
    return problem(http_status(code), code, REFUSALS[code])


def failed(error: Exception) -> Answer:
    """What a client is told of an error."""
    match error:
        case ServiceError():
            return _expected(error)
        case HTTPException():
            return _from_framework(error)
        case _:
            request_id = new_request_id()
            log.error("request %s failed", request_id, exc_info=error)
            return problem(500, Code.INTERNAL, "internal error", request_id=request_id)


def _expected(error: ServiceError) -> Answer:
    members: dict[str, Any] = {}
    if error.fields:
        members["errors"] = [{"field": each.field, "message": each.message} for each in error.fields]
    return problem(
        http_status(error.code), error.code, error.message, retry_after_s=error.retry_after_s, **members
    )


def _from_framework(error: HTTPException) -> Answer:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    detail = error.description or HTTPStatus(status).phrase
    answer = problem(status, own_code(status), detail, request_id=new_request_id())
    answer.headers.extend((b"allow", value.encode()) for name, value in error.get_headers() if name == "Allow")
    return answer
