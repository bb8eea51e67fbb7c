"""What every answer carries for browsers' sake, and which other sites' pages may read one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable
from http import HTTPStatus

from quart import Response, request
from quart_trio import QuartTrio

from transport.http.pages import PAGE_STYLE

PREFLIGHT_MAX_AGE_S = 600
HSTS_MAX_AGE_S = 63_072_000
METHODS = "GET, POST, PATCH, DELETE"
REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key"
EXPOSED_HEADERS = "Idempotency-Replayed, Retry-After"
MAY_DIFFER = frozenset({b"content-security-policy", b"cache-control"})
"""What an answer may say for itself, in place of what every answer says."""


def style_source(style: str) -> str:
    """How a policy names a style that is part of a page. https://www.w3.org/TR/CSP3/#grammardef-hash-source"""
    return f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"


CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src {style_source(PAGE_STYLE)}; img-src data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)


def security_headers(public_url: str) -> list[tuple[bytes, bytes]]:
    """The headers of every answer, errors of the server itself included.

    https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html
    """
    headers = {
        "content-security-policy": CONTENT_SECURITY_POLICY,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }
    if public_url.startswith("https://"):
        headers["strict-transport-security"] = f"max-age={HSTS_MAX_AGE_S}"
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def own_first(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """An answer's headers, its own before the general ones: what it says of `MAY_DIFFER` itself stands alone."""
    kept, said = [], set()
    for name, value in headers:
        if name in MAY_DIFFER:
            if name in said:
                continue
            said.add(name)
        kept.append((name, value))
    return kept


def install_cors(app: QuartTrio, allowed_origins: Collection[str]) -> None:
    """Let pages of these origins, and of no others, use the API; without any, nothing is said of it.

    Credentials are not allowed: a token travels in a header, and no cookie is ever read or set.
    https://fetch.spec.whatwg.org/#http-cors-protocol
    """
    if not allowed_origins:
        return
    allowed = frozenset(allowed_origins)

    @app.before_request
    async def answer_preflight() -> Response | None:
        wanted = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or wanted is None or request.headers.get("Origin") not in allowed:
            return None
        response = Response(b"", HTTPStatus.NO_CONTENT)
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
        response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_MAX_AGE_S)
        return response

    @app.after_request
    async def name_origin(response: Response) -> Response:
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin in allowed:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
        return response
