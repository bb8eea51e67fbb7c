"""Calls of one request and one answer: a deadline for each, retries where they are safe, fresh credentials."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import trio
from google.protobuf.message import DecodeError, Message

from domain.errors import Code
from proto.transactions.v2.identity_pb2 import RenewAccessRequest, RenewAccessResponse
from transport.client.channel import Channel
from transport.client.failures import CallFailed, NoAnswer, StatusError, deadline_exceeded
from transport.client.retry import Attempts, RetryPolicy, is_passing
from transport.client.rpcs import Rpc, rpc_of
from transport.client.session import Session
from transport.client.stream import Stream

USER_AGENT = "transactions-client"
TIMEOUT_MS_MAX = 99_999_999
"""gRPC allows eight digits: more than a day."""


class Calls:
    """On one channel and, after a login, in one session. `random` is for jitter, `now` the time of day."""

    def __init__(
        self,
        channel: Channel,
        nursery: trio.Nursery,
        *,
        timeout_s: float,
        policy: RetryPolicy,
        random: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self.session = Session(self._renew, nursery, now)
        self._channel = channel
        self._timeout_s = timeout_s
        self._policy = policy
        self._random = random

    async def call(self, request: Message, *, key: str | None = None, timeout_s: float | None = None) -> Any:
        """The answer. Raises CallFailed; with DEADLINE_EXCEEDED, the same key tells what became of it."""
        rpc = rpc_of(request)
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        with trio.move_on_after(timeout_s) as scope:
            metadata = {"idempotency-key": key or new_key()} if rpc.keyed else {}
            raw = await self._attempted(rpc, metadata, request.SerializeToString(), scope.deadline)
            try:
                return rpc.response_type.FromString(raw)
            except DecodeError:
                raise NoAnswer("the answer is not valid protobuf") from None
        raise deadline_exceeded(timeout_s)

    async def open(self, path: str, token: str | None) -> Stream:
        """Begin a call of several messages. Raises CallFailed."""
        with trio.move_on_after(self._timeout_s):
            return await self._channel.open(self._block(path, token, {}))
        raise deadline_exceeded(self._timeout_s)

    def attempts(self, deadline: float) -> Attempts:
        """The attempts of one call."""
        return Attempts(self._policy, self._random, deadline)

    async def _renew(self, refresh_token: str) -> RenewAccessResponse:
        response: RenewAccessResponse = await self.call(RenewAccessRequest(refresh_token=refresh_token))
        return response

    async def _attempted(self, rpc: Rpc, metadata: dict[str, str], message: bytes, deadline: float) -> bytes:
        attempts = self.attempts(deadline)
        while True:
            try:
                if rpc.public:
                    return await self._once(rpc, metadata, message, None, deadline)
                return await self._as_caller(rpc, metadata, message, deadline)
            except CallFailed as failure:
                repeatable = rpc.keyed or rpc.reads
                await attempts.pause(failure, passing=is_passing(failure, repeatable=repeatable))

    async def _as_caller(self, rpc: Rpc, metadata: dict[str, str], message: bytes, deadline: float) -> bytes:
        token = await self.session.access_token()
        try:
            return await self._once(rpc, metadata, message, token, deadline)
        except StatusError as failure:
            if token is None or not is_expiry(failure):
                raise
            return await self._once(rpc, metadata, message, await self.session.after(token), deadline)

    async def _once(
        self, rpc: Rpc, metadata: dict[str, str], message: bytes, token: str | None, deadline: float
    ) -> bytes:
        timeout_ms = min(max(int((deadline - trio.current_time()) * 1000), 1), TIMEOUT_MS_MAX)
        block = self._block(rpc.path, token, metadata | {"grpc-timeout": f"{timeout_ms}m"})
        return (await self._channel.call(block, message)).only_message()

    def _block(self, path: str, token: str | None, metadata: dict[str, str]) -> bytes:
        credentials = {} if token is None else {"authorization": f"Bearer {token}"}
        return self._channel.header_block(path, {"user-agent": USER_AGENT, **credentials, **metadata})


def is_expiry(failure: CallFailed) -> bool:
    """Whether a new access token is all that was wanting."""
    return isinstance(failure, StatusError) and failure.code == Code.TOKEN_EXPIRED


def new_key() -> str:
    """An idempotency key that nobody has used."""
    return str(uuid.uuid4())
