"""What every answer carries for browsers' sake, and which other sites' pages may read one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable
from typing import Any

from transport.asgi import App, Receive, Scope, Send
from transport.http.pages import PAGE_STYLE

PREFLIGHT_MAX_AGE_S = 600
HSTS_MAX_AGE_S = 63_072_000
METHODS = "GET, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS = "Authorization, Content-Type, Grpc-Timeout, Idempotency-Key, X-Request-Id"
EXPOSED_HEADERS = "Error-Code, Idempotency-Replayed, Retry-After, X-Request-Id"
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


def with_cors(app: App, allowed_origins: Collection[str]) -> App:
    """An app that pages of these origins, and of no others, may use; without any, nothing is said of it.

    Credentials are not allowed: a token travels in a header, and no cookie is ever read or set.
    https://fetch.spec.whatwg.org/#http-cors-protocol
    """
    allowed = frozenset(origin.encode() for origin in allowed_origins)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        sent = dict(scope["headers"])
        origin = sent.get(b"origin", b"")
        named = [*_NAMED, (b"access-control-allow-origin", origin)] if origin in allowed else _VARY

        async def send_named(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *named]}
            await send(message)

        asked_first = scope["method"] == "OPTIONS" and b"access-control-request-method" in sent
        if asked_first and origin in allowed:
            await send_named({"type": "http.response.start", "status": 204, "headers": _PREFLIGHT})
            await send_named({"type": "http.response.body"})
        else:
            await app(scope, receive, send_named)

    return answer if allowed else app


_VARY = [(b"vary", b"Origin")]
_NAMED = [*_VARY, (b"access-control-expose-headers", EXPOSED_HEADERS.encode())]
_PREFLIGHT = [
    (b"access-control-allow-methods", METHODS.encode()),
    (b"access-control-allow-headers", REQUEST_HEADERS.encode()),
    (b"access-control-max-age", str(PREFLIGHT_MAX_AGE_S).encode()),
]
