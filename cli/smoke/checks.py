"""What a service must be able to do after a roll-out: the main job, over HTTP, gRPC and the gateway, in small money.

Checks are made in order. The probes are made in any case; of the rest each rests on those before it, so the first
failure is the last check. Money that was brought in is taken out again.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import trio

from cli.credentials import Credentials
from cli.smoke.http import Answer, HttpFailed, HttpTarget
from transport.client.client import Client
from transport.client.failures import CallFailed

FUNDS, BY_HTTP, BY_GRPC = 1_000, 100, 10
"""Minor units brought in, moved over HTTP, and moved over gRPC."""
LOGOUT_SEEN_WITHIN_S = 10.0
"""How long another process of the service may take to learn that a session has ended."""


class NotAsExpected(Exception):
    """One line for a person."""


@dataclass(frozen=True, slots=True)
class Result:
    """One check: `problem` is empty where all was well."""

    name: str
    ms: float
    problem: str = ""


class Smoke:
    """`http` and `customer` for the customer, `banker` for the banker."""

    def __init__(
        self, http: HttpTarget, customer: Client, banker: Client, credentials: Credentials, currency: str
    ) -> None:
        self._http = http
        self._customer = customer
        self._banker = banker
        self._credentials = credentials
        self._currency = currency
        self._key = secrets.token_hex(16)
        self._token = ""
        self._checking = self._savings = self._transfer = 0

    async def run(self, report: Callable[[Result], None]) -> bool:
        """Make all checks that can be made; returns whether all were well."""
        probes = [
            ("readyz", self._readyz),
            ("gRPC health", self._grpc_health),
            ("openapi.json", self._openapi),
        ]
        job = [
            ("login over HTTP", self._login_over_http),
            ("login over gRPC", self._login_over_grpc),
            ("two accounts", self._accounts),
            ("deposit", self._deposit),
            ("transfer over HTTP", self._transfer_over_http),
            ("the same key again", self._same_key),
            ("transfer over gRPC", self._transfer_over_grpc),
            ("all agree on balances and entries", self._agreement),
            ("withdrawals", self._withdrawals),
            ("logouts end the tokens", self._logout),
        ]
        well = [await self._made(name, check, report) for name, check in probes]
        for name, check in job:
            well.append(await self._made(name, check, report))
            if not well[-1]:
                break
        return all(well)

    @staticmethod
    async def _made(name: str, check: Callable[[], Awaitable[None]], report: Callable[[Result], None]) -> bool:
        began, problem = perf_counter(), ""
        try:
            await check()
        except (NotAsExpected, HttpFailed, CallFailed) as failure:
            problem = str(failure)
        except (AttributeError, LookupError, TypeError) as misfit:
            problem = f"an answer of another shape: {misfit!r}"
        report(Result(name, round((perf_counter() - began) * 1000, 1), problem))
        return not problem

    # Probes

    async def _readyz(self) -> None:
        await self._ask("GET", "/readyz")

    async def _grpc_health(self) -> None:
        _expect("is_serving", await self._customer.is_serving(), True)

    async def _openapi(self) -> None:
        document = await self._ask("GET", "/openapi.json")
        if not str(document.body.get("openapi", "")).startswith("3.") or not document.body.get("paths"):
            raise NotAsExpected("GET /openapi.json: no OpenAPI document")

    # The main job

    async def _login_over_http(self) -> None:
        users = self._credentials
        body: dict[str, object] = {"username": users.depositor, "password": users.depositor_password}
        self._token = (await self._ask("POST", "/v1/users/login", body)).body["access_token"]

    async def _login_over_grpc(self) -> None:
        users = self._credentials
        await self._customer.login(users.depositor, users.depositor_password)
        await self._banker.login(users.banker, users.banker_password)

    async def _accounts(self) -> None:
        body: dict[str, object] = {"currency": self._currency, "name": "smoke"}
        self._checking = (await self._ask("POST", "/v1/accounts", body, status=201)).body["id"]
        self._savings = (await self._customer.create_account(self._currency, "smoke")).id

    async def _deposit(self) -> None:
        _expect("balance", (await self._banker.deposit(self._checking, FUNDS)).account.balance, FUNDS)

    async def _transfer_over_http(self) -> None:
        made = await self._post_transfer()
        self._transfer = made.body["transfer"]["id"]
        _expect("balance", made.body["from_account"]["balance"], FUNDS - BY_HTTP)

    async def _same_key(self) -> None:
        again = await self._post_transfer()
        _expect("Idempotency-Replayed", again.headers.get("Idempotency-Replayed"), "true")
        _expect("transfer", again.body["transfer"]["id"], self._transfer)
        over_grpc = await self._customer.create_transfer(
            self._checking, self._savings, BY_HTTP, self._currency, key=self._key
        )
        _expect("transfer", over_grpc.transfer.id, self._transfer)

    async def _transfer_over_grpc(self) -> None:
        made = await self._customer.create_transfer(self._checking, self._savings, BY_GRPC, self._currency)
        _expect("balance", made.from_account.balance, FUNDS - BY_HTTP - BY_GRPC)

    async def _agreement(self) -> None:
        moved = BY_HTTP + BY_GRPC
        for account, balance, amounts in (
            (self._checking, FUNDS - moved, [-BY_GRPC, -BY_HTTP, FUNDS]),
            (self._savings, moved, [BY_GRPC, BY_HTTP]),
        ):
            over_http = await self._ask("GET", f"/v1/accounts/{account}")
            entries = (await self._ask("GET", f"/v1/accounts/{account}/entries")).body["items"]
            _expect("balance over HTTP", over_http.body["balance"], balance)
            _expect("entries over HTTP", [each["amount"] for each in entries], amounts)
            gateway = (await self._ask("GET", f"/v2/accounts/{account}")).body["account"]
            _expect("balance through the gateway", gateway["balance"], str(balance))
            same = (await self._customer.list_entries(account)).items
            _expect("balance over gRPC", (await self._customer.get_account(account)).balance, balance)
            _expect("entries over gRPC", [each.amount for each in same], amounts)

    async def _withdrawals(self) -> None:
        moved = BY_HTTP + BY_GRPC
        for account, amount in ((self._checking, FUNDS - moved), (self._savings, moved)):
            _expect("balance", (await self._banker.withdraw(account, amount)).account.balance, 0)

    async def _logout(self) -> None:
        over_grpc = await self._customer.access_token()
        await self._ask("POST", "/v1/users/logout", {}, status=204)
        await self._customer.logout()
        await self._banker.logout()
        for token in (self._token, over_grpc):
            await self._ended(token)

    async def _ended(self, token: str | None) -> None:
        with trio.move_on_after(LOGOUT_SEEN_WITHIN_S):
            while True:
                if (await self._http.request("GET", "/v1/sessions", token=token)).status == 401:
                    return
                await trio.sleep(0.1)
        raise NotAsExpected(f"a token was good for {LOGOUT_SEEN_WITHIN_S:g} s after its logout")

    async def _post_transfer(self) -> Answer:
        body: dict[str, object] = {
            "from_account_id": self._checking,
            "to_account_id": self._savings,
            "amount": BY_HTTP,
            "currency": self._currency,
        }
        return await self._ask("POST", "/v1/transfers", body, status=201, key=self._key)

    async def _ask(
        self,
        method: str,
        path: str,
        body: dict[str, object] | None = None,
        *,
        status: int = 200,
        key: str | None = None,
    ) -> Answer:
        answer = await self._http.request(method, path, body, token=self._token or None, key=key)
        if answer.status != status:
            code = answer.body.get("code", "") if isinstance(answer.body, dict) else ""
            raise NotAsExpected(f"{method} {path}: {answer.status} {code}".rstrip())
        return answer


def _expect(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise NotAsExpected(f"{what}: {found!r}, where {wanted!r} was due")
