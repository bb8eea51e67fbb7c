"""The load of a drill: clients that move money, read it, and register, and note all that they are told.

Whoever moves money asks again with the same key until the answer is definite, as a careful client would.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any

import trio

from cli.credentials import Credentials
from cli.drill.history import POSTED, Attempt, Balance, History, Line, Page, Request
from cli.drill.installation import DrillFailed
from cli.drill.senders import ANSWER_TIMEOUT_S, Ask, over_grpc, over_http
from cli.hammer.http_client import HttpClient, HttpFailed
from cli.hammer.plan import Plan
from transport.client.client import Client, open_client
from transport.client.retry import RetryPolicy

MOVERS, READERS = 8, 2
PAUSE_MIN_S, PAUSE_MAX_S = 0.02, 0.2
"""Between attempts, with jitter."""
READ_PAUSE_S = 0.03
REGISTRATION_PAUSE_S = 0.3
RESOLVE_TIMEOUT_S = 30.0
AMOUNT_MAX = 1_000
PAGE_ENTRIES = 100


class Load:
    """One load on so many addresses, each an HTTP and a gRPC port; `rng` chooses what is asked."""

    def __init__(
        self, owner: Credentials, plan: Plan, rng: random.Random, addresses: Sequence[tuple[int, int]]
    ) -> None:
        self.history = History()
        self.owner = owner
        self.plan = plan
        self._rng = rng
        self.addresses = addresses
        self._numbers = count(1)
        self._stopping = False
        self._prefix = f"drill-{rng.randrange(2**32):08x}"

    @asynccontextmanager
    async def running(self, *, registrations: bool = False) -> AsyncIterator[None]:
        """MOVERS over HTTP and as many over gRPC, and READERS, for each address, for the block.

        At its end what is under way is asked for until its outcome is known: the service must be there by then.
        May be run again. Raises DrillFailed if it is not in time.
        """
        self._stopping = False
        async with AsyncExitStack() as stack:
            asks: list[tuple[str, Ask]] = []
            for http_port, grpc_port in self.addresses:
                over = [
                    over_http(await self._client(stack, http_port), self.plan.currency) for _ in range(MOVERS)
                ]
                asks += (("HTTP", ask) for ask in over)
                asks += MOVERS * [("gRPC", over_grpc(await self._grpc(stack, grpc_port), self.plan.currency))]
            ports = READERS * [http_port for http_port, _ in self.addresses]
            reading = [await self._client(stack, http_port) for http_port in ports]
            registering = await self._client(stack, ports[0])
            with trio.CancelScope() as late:
                async with trio.open_nursery() as nursery:
                    for protocol, ask in asks:
                        nursery.start_soon(self._move, protocol, ask)
                    for client in reading:
                        nursery.start_soon(self._read, client)
                    if registrations:
                        nursery.start_soon(self._register, registering)
                    yield
                    self._stopping = True
                    late.deadline = trio.current_time() + RESOLVE_TIMEOUT_S
            if late.cancelled_caught:
                raise DrillFailed(
                    f"the service did not answer within {RESOLVE_TIMEOUT_S:g} s of the drill's end"
                )

    async def _client(self, stack: AsyncExitStack, port: int) -> HttpClient:
        headers = {"Authorization": f"Bearer {self.plan.token}"}
        return await stack.enter_async_context(HttpClient("127.0.0.1", port, headers))

    async def _grpc(self, stack: AsyncExitStack, port: int) -> Client:
        policy = RetryPolicy(attempts_max=1)
        opening = open_client(f"127.0.0.1:{port}", policy=policy, timeout_s=ANSWER_TIMEOUT_S)
        client = await stack.enter_async_context(opening)
        await client.login(self.owner.depositor, self.owner.depositor_password)
        return client

    async def _move(self, protocol: str, ask: Ask) -> None:
        while not self._stopping:
            source, target = self.plan.pair(self._rng)
            key = f"{self._prefix}-{next(self._numbers)}"
            request = Request(key, source, target, self._rng.randint(1, AMOUNT_MAX), trio.current_time())
            self.history.requests.append(request)
            await self._until_definite(protocol, ask, request)

    async def _until_definite(self, protocol: str, ask: Ask, request: Request) -> None:
        while True:
            began_s = trio.current_time()
            told = await ask(request)
            ended_s = trio.current_time()
            self.history.attempts.append(Attempt(began_s, ended_s, protocol, told.outcome, told.answered))
            if told.definite:
                break
            await self._pause()
        request.ended_s, request.outcome = ended_s, told.outcome
        if told.outcome == POSTED:
            request.transfer_id, request.seq, request.balance_after = told[2:]

    async def _pause(self) -> None:
        await trio.sleep(PAUSE_MIN_S + self._rng.random() * (PAUSE_MAX_S - PAUSE_MIN_S))

    async def _read(self, client: HttpClient) -> None:
        while not self._stopping:
            account = self._rng.choice(self.plan.accounts)
            try:
                await self._read_account(client, account)
            except (HttpFailed, ValueError, trio.TooSlowError):
                await self._pause()  # what was not read says nothing
            await trio.sleep(READ_PAUSE_S)

    async def _read_account(self, client: HttpClient, account: int) -> None:
        began_s = trio.current_time()
        status, body = await _get(client, f"/v1/accounts/{account}")
        if status == 200:
            self.history.balances.append(Balance(account, began_s, trio.current_time(), body["balance"]))
        began_s = trio.current_time()
        status, body = await _get(client, f"/v1/accounts/{account}/entries?limit={PAGE_ENTRIES}")
        if status == 200:
            lines = (
                Line(each["seq"], each["transfer_id"], each["amount"], each["balance_after"])
                for each in body["items"]
            )
            self.history.pages.append(Page(account, began_s, trio.current_time(), tuple(lines)))

    async def _register(self, client: HttpClient) -> None:
        """Each registration that is acknowledged promises a mail."""
        while not self._stopping:
            name = f"{self._prefix.replace('-', '_')}_{next(self._numbers)}"
            address = f"{name}@example.com"
            body = {"username": name, "password": f"{name} secret", "full_name": "Drill", "email": address}
            try:
                with trio.fail_after(ANSWER_TIMEOUT_S):
                    status, _ = await client.request(
                        "POST", "/v1/users", json.dumps(body).encode(), b"Content-Type: application/json\r\n"
                    )
            except (HttpFailed, trio.TooSlowError):
                await self._pause()
                continue
            if status == 201:
                self.history.addresses.append(address)
            await trio.sleep(REGISTRATION_PAUSE_S)


async def _get(client: HttpClient, path: str) -> tuple[int, dict[str, Any]]:
    with trio.fail_after(ANSWER_TIMEOUT_S):
        status, raw = await client.request("GET", path)
    return status, json.loads(raw)
