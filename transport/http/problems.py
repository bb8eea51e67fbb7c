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


def problem(
    status: int,
    code: Code,
    detail: str,
    *,
    retry_after_s: int | None = None,
    **members: Any,
) -> Response:
    """One problem document."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code}
    response = Response(
        encode({**document, "detail": detail, **members}), status, content_type="application/problem+json"
    )
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


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
        code = Code.NOT_FOUND if status == HTTPStatus.NOT_FOUND else Code.INVALID_ARGUMENT
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            code = Code.INTERNAL
        response = problem(status, code, error.description or HTTPStatus(status).phrase)
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    async def defect(error: Exception) -> Response:
        request_id = new_request_id()
        log.error("request %s failed", request_id, exc_info=error)
        return problem(500, Code.INTERNAL, "internal error", request_id=request_id)
