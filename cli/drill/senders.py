"""How a drill's client asks for one transfer, once: over HTTP or over gRPC, with everything it is told noted."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import trio

from cli.drill.history import POSTED, Request
from cli.hammer.http_client import HttpClient, HttpFailed
from domain.errors import Code
from transport.client.client import Client
from transport.client.failures import NoAnswer, StatusError

ANSWER_TIMEOUT_S = 15.0
PASSING = frozenset(
    {
        Code.RATE_LIMITED,
        Code.OVERLOADED,
        Code.SHUTTING_DOWN,
        Code.UNAVAILABLE,
        Code.DEADLINE_EXCEEDED,
        Code.INTERNAL,
    }
)
"""After these the same key is asked again."""


class Told(NamedTuple):
    """What an attempt came to; a refusal and what was `posted` are definite, everything else is not."""

    outcome: str
    answered: bool = True
    transfer_id: int | None = None
    seq: int | None = None
    balance_after: int | None = None

    @property
    def definite(self) -> bool:
        """Whether it will not be otherwise when the key is asked again."""
        return self.answered and self.outcome not in PASSING


Ask = Callable[[Request], Awaitable[Told]]


def over_http(client: HttpClient, currency: str) -> Ask:
    """On a connection of its own."""

    async def ask(request: Request) -> Told:
        body = {
            "from_account_id": request.source,
            "to_account_id": request.target,
            "amount": request.amount,
            "currency": currency,
        }
        headers = f"Idempotency-Key: {request.key}\r\nContent-Type: application/json\r\n".encode()
        try:
            with trio.fail_after(ANSWER_TIMEOUT_S):
                status, raw = await client.request("POST", "/v1/transfers", json.dumps(body).encode(), headers)
            answer = json.loads(raw)
        except (HttpFailed, ValueError, trio.TooSlowError) as failure:
            return Told(_why(failure), answered=False)
        if status != 201:
            return Told(answer["code"])
        entry = answer["from_entry"]
        return Told(POSTED, True, answer["transfer"]["id"], entry["seq"], entry["balance_after"])

    return ask


def over_grpc(client: Client, currency: str) -> Ask:
    """On a connection that many share; the client makes no attempts of its own."""

    async def ask(request: Request) -> Told:
        try:
            made = await client.create_transfer(
                request.source, request.target, request.amount, currency, key=request.key
            )
        except StatusError as failure:
            return Told(failure.code or str(failure), answered=bool(failure.code))
        except NoAnswer as failure:
            return Told(_why(failure), answered=False)
        return Told(POSTED, True, made.transfer.id, made.from_entry.seq, made.from_entry.balance_after)

    return ask


def _why(failure: Exception) -> str:
    return "no answer in time" if isinstance(failure, trio.TooSlowError) else str(failure)
