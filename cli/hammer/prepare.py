"""Somebody's accounts to hammer: opened and funded through the service itself, over the protocol of the load."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import trio

from cli.credentials import Credentials
from cli.hammer.http_client import HttpClient, HttpFailed
from cli.hammer.plan import Plan
from transport.client.address import join_address
from transport.client.client import open_client
from transport.client.failures import CallFailed

WORKERS = 16
FUNDS = 10**12
"""Minor units deposited on every account that transfers leave from."""
ATTEMPTS_MAX = 10
"""Times that a request is made which the service has no room for."""
RETRY_AFTER_MAX_S = 5.0

Worker = TypeVar("Worker")


class PreparationFailed(Exception):
    """One line for a person."""


async def prepare_over_grpc(
    host: str, port: int, credentials: Credentials, *, accounts: int, hot: bool, currency: str
) -> Plan:
    """Log both in, open the accounts, and deposit. Raises CallFailed."""
    address = join_address(host, port)
    async with open_client(address) as owner, open_client(address) as banker:
        await owner.login(credentials.depositor, credentials.depositor_password)
        await banker.login(credentials.banker, credentials.banker_password)
        opened: list[int] = []

        async def open_account(_: None, __: int) -> None:
            opened.append((await owner.create_account(currency, "hammer")).id)

        async def deposit(_: None, account: int) -> None:
            await banker.deposit(account, FUNDS)

        workers = [None] * WORKERS
        await _for_each(range(accounts), open_account, workers)
        opened.sort()
        await _for_each(opened[:1] if hot else opened, deposit, workers)
        return Plan(await owner.access_token() or "", opened, currency, hot)


async def prepare_over_http(
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

    async with AsyncExitStack() as stack:
        owners, bankers = [
            [await stack.enter_async_context(HttpClient(host, port, _headers(bearer))) for _ in range(WORKERS)]
            for bearer in (token, banker_token)
        ]
        await _for_each(range(accounts), open_account, owners)
        opened.sort()
        await _for_each(opened[:1] if hot else opened, deposit, bankers)
    return Plan(token, opened, currency, hot)


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


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
    items: Iterable[int], work: Callable[[Worker, int], Awaitable[None]], workers: Iterable[Worker]
) -> None:
    """Raises the first of the failures, when there are several."""
    waiting = iter(items)
    failures: list[HttpFailed | PreparationFailed | CallFailed] = []

    async def run(worker: Worker, scope: trio.CancelScope) -> None:
        try:
            for item in waiting:
                await work(worker, item)
        except (HttpFailed, PreparationFailed, CallFailed) as failure:
            failures.append(failure)
            scope.cancel()

    async with trio.open_nursery() as nursery:
        for worker in workers:
            nursery.start_soon(run, worker, nursery.cancel_scope)
    if failures:
        raise failures[0]
