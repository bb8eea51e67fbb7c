"""One request of v1, whichever way it has come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from werkzeug.exceptions import RequestEntityTooLarge

from application.service import Service
from domain.policy import Principal
from domain.users import Client
from transport.answer import CLIENT_GONE
from transport.asgi import Receive, Scope
from transport.clients import client_of
from transport.http.inbox import DISCONNECT

Read = Callable[[], Awaitable[bytes]]


class ClientGone(Exception):
    """Nobody waits for the answer."""

    code = CLIENT_GONE


class Asked:
    """One request, as a handler sees it."""

    __slots__ = ("_principal", "_scope", "_service", "replayed")

    def __init__(self, service: Service, scope: Scope, principal: Principal | None) -> None:
        self._service = service
        self._scope = scope
        self._principal = principal
        self.replayed = False

    @property
    def principal(self) -> Principal:
        """Who makes it; there is nobody only where the operation is public."""
        assert self._principal is not None
        return self._principal

    @property
    def client(self) -> Client:
        """Where it comes from."""
        return client_of(
            self._scope["client"][0],
            sent(self._scope, b"x-forwarded-for"),
            next(iter(sent(self._scope, b"user-agent")), ""),
            self._service.trusted_proxies,
        )

    @property
    def idempotency_key(self) -> str | None:
        """The key it was sent with."""
        return next(iter(sent(self._scope, b"idempotency-key")), None)


def sent(scope: Scope, header: bytes) -> list[str]:
    """What was sent in a header, as often as it was."""
    return [value.decode("latin-1") for name, value in scope["headers"] if name == header]


async def whole_body(receive: Receive, size_max: int) -> bytes:
    """What was sent with a request, of so many bytes at most; refused with Quart's error."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == DISCONNECT:
            raise ClientGone
        body += message["body"]
        if len(body) > size_max:
            raise RequestEntityTooLarge
        if not message["more_body"]:
            return bytes(body)
