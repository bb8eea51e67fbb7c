"""Somebody's accounts to hammer: opened and funded through the service itself."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import trio

from cli.hammer.http_client import HttpClient, HttpFailed
from cli.hammer.plan import Plan

WORKERS = 16
FUNDS = 10**12
"""Minor units deposited on every account that transfers leave from."""
ATTEMPTS_MAX = 10
"""Times that a request is made which the service has no room for."""
RETRY_AFTER_MAX_S = 5.0


class PreparationFailed(Exception):
    """One line for a person."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Two users: one who owns the accounts, one who may deposit."""

    depositor: str
    depositor_password: str
    banker: str
    banker_password: str


async def prepare(
    host: str, port: int, credentials: Credentials, *, accounts: int, hot: bool, currency: str
) -> Plan:
    """Log both in, open the accounts, and deposit. Raises PreparationFailed, HttpFailed."""
    token = await _login(host, port, credentials.depositor, credentials.depositor_password)
    banker_token = await _login(host, port, credentials.banker, credentials.banker_password)
    opened: list[int] = []

    async def open_account(client: HttpClient, _: int) -> None:
        answer = await _post(client, "/v1/accounts", {"currency": currency, "name": "hammer"}, "id")
        opened.append(answer["id"])

    async def deposit(client: HttpClient, account: int) -> None:
        await _post(client, f"/v1/accounts/{account}/deposits", {"amount": FUNDS}, "transfer")

    await _for_each(range(accounts), open_account, host, port, token)
    opened.sort()
    await _for_each(opened[:1] if hot else opened, deposit, host, port, banker_token)
    return Plan(token, opened, currency, hot)


def random_name(prefix: str) -> str:
    """A username nobody has."""
    return f"{prefix}_{secrets.token_hex(4)}"


async def _login(host: str, port: int, username: str, password: str) -> str:
    body: dict[str, object] = {"username": username, "password": password}
    async with HttpClient(host, port, {"Content-Type": "application/json"}) as client:
        answer = await _post(client, "/v1/users/login", body, "access_token")
    return str(answer["access_token"])


async def _post(client: HttpClient, path: str, body: dict[str, object], member: str) -> dict[str, Any]:
    """The answer, which has this member. Only what was not carried out (429) is sent again."""
    for _ in range(ATTEMPTS_MAX):
        status, raw = await client.request("POST", path, json.dumps(body).encode())
        if status != 429:
            break
        await trio.sleep(min(max(client.retry_after_s, 0.1), RETRY_AFTER_MAX_S))
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or status >= 300:
        problem = answer if isinstance(answer, dict) else {}
        raise PreparationFailed(f"POST {path}: {problem.get('code', status)}: {problem.get('detail', '')}")
    if member not in answer:
        raise PreparationFailed(f"POST {path}: an answer without {member}")
    return answer


async def _for_each(
    items: Iterable[int],
    work: Callable[[HttpClient, int], Awaitable[None]],
    host: str,
    port: int,
    token: str,
) -> None:
    """Raises the first of the failures, when there are several."""
    waiting = iter(items)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    failures: list[HttpFailed | PreparationFailed] = []

    async def worker(scope: trio.CancelScope) -> None:
        try:
            async with HttpClient(host, port, headers) as client:
                for item in waiting:
                    await work(client, item)
        except (HttpFailed, PreparationFailed) as failure:
            failures.append(failure)
            scope.cancel()

    async with trio.open_nursery() as nursery:
        for _ in range(WORKERS):
            nursery.start_soon(worker, nursery.cancel_scope)
    if failures:
        raise failures[0]
