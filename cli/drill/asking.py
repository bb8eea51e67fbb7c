"""One request of a drill's own, beside the load."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

import trio

from cli.drill.senders import ANSWER_TIMEOUT_S
from cli.hammer.http_client import HttpClient, HttpFailed

NO_ANSWER = 0


class Answer(NamedTuple):
    """`status` is NO_ANSWER where there was none; `retry_after_s` is 0 where it was not said."""

    status: int
    body: dict[str, Any]
    retry_after_s: int = 0

    @property
    def code(self) -> str:
        """The service's word for what is wrong, or `ok`."""
        return "ok" if 200 <= self.status < 300 else str(self.body.get("code", self.status))


async def ask(
    port: int, method: str, path: str, body: dict[str, object] | None = None, *, token: str | None = None
) -> Answer:
    """On a connection of its own."""
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    async with HttpClient("127.0.0.1", port, headers) as client:
        try:
            with trio.fail_after(ANSWER_TIMEOUT_S):
                raw = b"" if body is None else json.dumps(body).encode()
                status, answer = await client.request(method, path, raw)
                return Answer(status, json.loads(answer or b"{}"), client.retry_after_s)
        except (HttpFailed, ValueError, trio.TooSlowError):
            return Answer(NO_ANSWER, {})


async def register(port: int, rng: random.Random) -> tuple[str, Answer]:
    """A new user: the address that a mail is promised to where it is acknowledged, and what was answered."""
    name = f"drill_{rng.randrange(2**48):012x}"
    address = f"{name}@example.com"
    body: dict[str, object] = {
        "username": name,
        "password": f"{name} secret",
        "full_name": "Drill",
        "email": address,
    }
    return address, await ask(port, "POST", "/v1/users", body)
