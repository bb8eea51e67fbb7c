"""An answer over HTTP that is known as a whole."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from transport.asgi import Headers, Send

CLIENT_GONE = 499
"""As nginx has it: nobody waited for the answer."""
JSON = (b"content-type", b"application/json")


class Answer(NamedTuple):
    """All of it."""

    status: int
    headers: Headers
    body: bytes


async def send_whole(send: Send, answer: Answer) -> None:
    """Send an answer of known length; one without content does not even say that (RFC 9110 8.6)."""
    headers = answer.headers
    if answer.status != HTTPStatus.NO_CONTENT:
        headers = [*headers, (b"content-length", str(len(answer.body)).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
