"""The typed client: the API's words as methods, its messages as answers.

    async with open_client("127.0.0.1:9090") as client:
        await client.login("alice", "correct horse")
        made = await client.create_transfer(checking, savings, 2500, "USD", key="rent-may")

Every call has a deadline. What is safe to repeat is repeated while it may help: reads, and what has an idempotency
key, which is everything that moves money or opens an account; without one of the caller's it has a new one.
"""

from __future__ import annotations

import random as random_module
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ssl import SSLContext
from typing import Any

from google.protobuf.message import Message

from proto.grpc.health.v1 import health_pb2
from proto.transactions.v2 import identity_pb2, ledger_pb2, types_pb2
from transport.client.address import parse_address
from transport.client.background import open_background
from transport.client.calls import Calls
from transport.client.channel import Channel
from transport.client.retry import RetryPolicy
from transport.client.transfers import TransferStream
from transport.client.watch import Watch

TIMEOUT_S = 10.0


class Client:
    """Made by `open_client`. Methods may be called by many tasks at once; each raises CallFailed.

    Ids are the service's, amounts are minor units, messages those of the .proto files.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def call(self, request: Message, *, key: str | None = None, timeout_s: float | None = None) -> Any:
        """The answer to a request of any RPC that has one: for what has no method here, or needs a deadline of its own.

        `key` is for what moves money or opens an account.
        """
        return await self._calls.call(request, key=key, timeout_s=timeout_s)

    # Identity

    async def create_user(self, username: str, password: str, *, full_name: str, email: str) -> types_pb2.User:
        """Register; the service mails a link that proves the address."""
        request = identity_pb2.CreateUserRequest(
            username=username, password=password, full_name=full_name, email=email
        )
        user: types_pb2.User = (await self.call(request)).user
        return user

    async def login(self, username: str, password: str) -> types_pb2.User:
        """Open a session, which the calls from now on are made in. Its tokens are renewed as long as it lasts."""
        request = identity_pb2.LoginUserRequest(username=username, password=password)
        response: identity_pb2.LoginUserResponse = await self.call(request)
        self._calls.session.begin(response)
        return response.user

    async def logout(self, *, everywhere: bool = False) -> None:
        """End the session, or all sessions of its user."""
        await self.call(identity_pb2.LogoutUserRequest(everywhere=everywhere))
        self._calls.session.end()

    async def access_token(self) -> str | None:
        """For requests that are made otherwise; None before the login."""
        return await self._calls.session.access_token()

    async def get_user(self, username: str) -> types_pb2.User:
        """Oneself, or anybody for staff."""
        user: types_pb2.User = (await self.call(identity_pb2.GetUserRequest(username=username))).user
        return user

    # Ledger

    async def create_account(
        self, currency: str, name: str = "", *, key: str | None = None
    ) -> types_pb2.Account:
        """Open an account for the caller."""
        request = ledger_pb2.CreateAccountRequest(currency=currency, name=name)
        account: types_pb2.Account = (await self.call(request, key=key)).account
        return account

    async def get_account(self, account_id: int) -> types_pb2.Account:
        """One's own, or any for a banker."""
        account: types_pb2.Account = (await self.call(ledger_pb2.GetAccountRequest(id=account_id))).account
        return account

    async def list_accounts(self, *, limit: int = 20, cursor: str = "") -> ledger_pb2.ListAccountsResponse:
        """The caller's, oldest first; `cursor` is the page before's `next_cursor`."""
        request = ledger_pb2.ListAccountsRequest(limit=limit, cursor=cursor)
        response: ledger_pb2.ListAccountsResponse = await self.call(request)
        return response

    async def list_entries(
        self, account_id: int, *, limit: int = 20, cursor: str = ""
    ) -> ledger_pb2.ListEntriesResponse:
        """An account's history, newest first."""
        request = ledger_pb2.ListEntriesRequest(account_id=account_id, limit=limit, cursor=cursor)
        response: ledger_pb2.ListEntriesResponse = await self.call(request)
        return response

    async def deposit(
        self, account_id: int, amount: int, *, key: str | None = None
    ) -> ledger_pb2.DepositResponse:
        """Money in; bankers only."""
        request = ledger_pb2.DepositRequest(account_id=account_id, amount=amount)
        response: ledger_pb2.DepositResponse = await self.call(request, key=key)
        return response

    async def withdraw(
        self, account_id: int, amount: int, *, key: str | None = None
    ) -> ledger_pb2.WithdrawResponse:
        """Money out; bankers only."""
        request = ledger_pb2.WithdrawRequest(account_id=account_id, amount=amount)
        response: ledger_pb2.WithdrawResponse = await self.call(request, key=key)
        return response

    async def create_transfer(
        self, from_account_id: int, to_account_id: int, amount: int, currency: str, *, key: str | None = None
    ) -> ledger_pb2.CreateTransferResponse:
        """Move money out of an account of the caller's."""
        request = ledger_pb2.CreateTransferRequest(
            from_account_id=from_account_id, to_account_id=to_account_id, amount=amount, currency=currency
        )
        response: ledger_pb2.CreateTransferResponse = await self.call(request, key=key)
        return response

    async def get_transfer(self, transfer_id: int) -> types_pb2.Transfer:
        """For the owner of either side, or a banker."""
        request = ledger_pb2.GetTransferRequest(id=transfer_id)
        transfer: types_pb2.Transfer = (await self.call(request)).transfer
        return transfer

    async def batch_transfers(
        self, orders: Sequence[ledger_pb2.TransferOrder], *, atomic: bool = False, key: str | None = None
    ) -> list[ledger_pb2.TransferOutcome]:
        """Up to 1,000 transfers, each with an outcome of its own, in order; with `atomic` all of them or none."""
        request = ledger_pb2.BatchTransfersRequest(transfers=orders, atomic=atomic)
        response: ledger_pb2.BatchTransfersResponse = await self.call(request, key=key)
        return list(response.outcomes)

    @asynccontextmanager
    async def stream_transfers(
        self, orders: AsyncIterable[ledger_pb2.StreamTransfersRequest]
    ) -> AsyncIterator[TransferStream]:
        """Iterate over the outcomes of orders while they are read and carried out, a thousand of them at once.

        What the orders raise, the block raises.
        """
        async with open_background() as nursery:
            stream = TransferStream(self._calls, nursery)
            nursery.start_soon(stream.read, orders)
            try:
                yield stream
            finally:
                stream.cancel()

    @asynccontextmanager
    async def watch_account(self, account_id: int, *, after_seq: int = 0) -> AsyncIterator[Watch]:
        """Iterate over an account's entries after this one, oldest first, and each new one when it is there."""
        watch = Watch(self._calls, account_id, after_seq)
        try:
            yield watch
        finally:
            watch.cancel()

    # The service

    async def is_serving(self, service: str = "") -> bool:
        """What the service says of its health."""
        response = await self.call(health_pb2.HealthCheckRequest(service=service))
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


def _now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def open_client(
    address: str,
    *,
    ssl_context: SSLContext | None = None,
    timeout_s: float = TIMEOUT_S,
    policy: RetryPolicy | None = None,
    random: Callable[[], float] = random_module.random,
    now: Callable[[], datetime] = _now,
) -> AsyncIterator[Client]:
    """A client of the service at HOST:PORT for the block; it connects with the first call.

    With an SSL context it speaks TLS. `timeout_s` is for each call that does not say otherwise. Raises ValueError
    for a malformed address.
    """
    host, port = parse_address(address)
    async with open_background() as nursery:
        channel = Channel.to(host, port, nursery, ssl_context)
        policy = policy or RetryPolicy()
        yield Client(Calls(channel, nursery, timeout_s=timeout_s, policy=policy, random=random, now=now))
