"""HTTP as a check needs it: one request on a connection of its own, with TLS where the URL says so."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import trio

TIMEOUT_S = 10.0
BODY_BYTES_MAX = 16 * 2**20


class HttpFailed(Exception):
    """No answer that is HTTP and JSON."""


class Answer(NamedTuple):
    """Status, headers, and the body's JSON; None for an empty one."""

    status: int
    headers: HTTPMessage
    body: Any


class HttpTarget:
    """The service at http://HOST:PORT or https://HOST:PORT. Raises ValueError for anything else."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ValueError(f"must be http://HOST:PORT or https://HOST:PORT, not {url!r}")
        self.tls = parts.scheme == "https"
        self.host = parts.hostname
        self._port = parts.port

    async def request(
        self,
        method: str,
        path: str,
        body: dict[str, object] | None = None,
        *,
        token: str | None = None,
        key: str | None = None,
    ) -> Answer:
        """Raises HttpFailed."""
        headers = {"Content-Type": "application/json", "User-Agent": "transactions-smoke"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if key is not None:
            headers["Idempotency-Key"] = key
        content = None if body is None else json.dumps(body).encode()
        return await trio.to_thread.run_sync(self._ask, method, path, content, headers, abandon_on_cancel=True)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        kind = HTTPSConnection if self.tls else HTTPConnection
        connection = kind(self.host, self._port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            raw = response.read(BODY_BYTES_MAX)
            return Answer(response.status, response.headers, json.loads(raw) if raw else None)
        except (OSError, HTTPException, ValueError) as error:
            raise HttpFailed(f"{method} {path}: {error or type(error).__name__}") from None
        finally:
            connection.close()
