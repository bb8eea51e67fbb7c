"""Errors as `application/problem+json` (RFC 9457) with the stable `code` of the contract."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from quart import Response
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from domain.errors import Code, ServiceError
from transport.errors import http_status
from transport.http.schemas import encode
from transport.refusals import REFUSALS
from transport.request_id import new_request_id

log = logging.getLogger(__name__)


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
) -> Response:
    """The answer that is a problem."""
    response = Response(
        document(status, code, detail, **members), status, content_type="application/problem+json"
    )
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


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


def refusal(code: Code) -> Response:
    """A business refusal, which is an answer and not an error of anybody's."""
    return problem(http_status(code), code, REFUSALS[code])


def install(app: QuartTrio) -> None:
    """Make the app answer every exception with a problem."""

    @app.errorhandler(ServiceError)
    async def expected(error: ServiceError) -> Response:
        members: dict[str, Any] = {}
        if error.fields:
            members["errors"] = [{"field": each.field, "message": each.message} for each in error.fields]
        return problem(
            http_status(error.code), error.code, error.message, retry_after_s=error.retry_after_s, **members
        )

    @app.errorhandler(HTTPException)
    async def from_framework(error: HTTPException) -> Response:
        status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
        detail = error.description or HTTPStatus(status).phrase
        response = problem(status, own_code(status), detail, request_id=new_request_id())
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    async def defect(error: Exception) -> Response:
        request_id = new_request_id()
        log.error("request %s failed", request_id, exc_info=error)
        return problem(500, Code.INTERNAL, "internal error", request_id=request_id)
