"""How a transfer is sent: over HTTP or over gRPC, one function each, on connections opened beforehand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from cli.hammer.http_client import HttpClient
from cli.hammer.plan import Plan
from cli.hammer.tally import OK, Answer
from transport.client.channel import Channel, open_channel
from transport.client.frames import literal
from transport.client.headers import Fields

METHOD = "/transactions.v2.Ledger/CreateTransfer"
LOST_STATUSES = frozenset({"2", "4", "12", "13", "14", "15"})
"""UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS: what HTTP answers with 5xx."""

Send = Callable[[int, int, int], Awaitable[Answer]]
"""Sends a transfer (source, target, number). Raises HttpFailed or NoAnswer when there is no answer."""

_ACKNOWLEDGED = Answer(OK)


@asynccontextmanager
async def http_senders(plan: Plan, host: str, port: int, connections: int) -> AsyncIterator[list[Send]]:
    """One for each connection. Raises OSError when nobody listens."""
    await trio.aclose_forcefully(await trio.open_tcp_stream(host, port))
    headers = {"Authorization": f"Bearer {plan.token}", "Content-Type": "application/json"}
    async with AsyncExitStack() as stack:
        clients = [HttpClient(host, port, headers) for _ in range(connections)]
        yield [_http_sender(plan, await stack.enter_async_context(client)) for client in clients]


def _http_sender(plan: Plan, client: HttpClient) -> Send:
    body = b'{"from_account_id":%d,"to_account_id":%d,"amount":%d,"currency":"%b"}'
    currency = plan.currency.encode()
    key = f"Idempotency-Key: {plan.keys}-".encode()

    async def send(source: int, target: int, number: int) -> Answer:
        filled = body % (source, target, plan.amount, currency)
        headers = b"%b%d\r\n" % (key, number) if plan.keys else b""
        status, answer = await client.request("POST", "/v1/transfers", filled, headers)
        return _ACKNOWLEDGED if status == 201 else http_answer(status, answer, client.retry_after_s)

    return send


def http_answer(status: int, body: bytes, retry_after_s: float) -> Answer:
    """What a response other than 201 means."""
    try:
        code = str(json.loads(body)["code"])
    except (ValueError, KeyError, TypeError):
        return Answer(f"HTTP {status}", True, retry_after_s)
    return Answer(code, status >= 500, retry_after_s)


@asynccontextmanager
async def grpc_senders(
    plan: Plan, host: str, port: int, connections: int, channels: int
) -> AsyncIterator[list[Send]]:
    """As many as calls may be in flight, spread over the channels. Raises NoAnswer when nobody listens."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(open_channel(host, port)) for _ in range(channels)]
        for channel in opened:
            await channel.connect()
        senders = [_grpc_sender(plan, channel) for channel in opened]
        yield [senders[number % channels] for number in range(connections)]


def _grpc_sender(plan: Plan, channel: Channel) -> Send:
    unkeyed = channel.header_block(METHOD, {"authorization": f"Bearer {plan.token}"})

    async def send(source: int, target: int, number: int) -> Answer:
        block = unkeyed + literal("idempotency-key", f"{plan.keys}-{number}") if plan.keys else unkeyed
        message = encode_transfer(source, target, plan.amount, plan.currency)
        trailers = (await channel.call(block, message)).fields
        return _ACKNOWLEDGED if trailers["grpc-status"] == "0" else grpc_answer(trailers)

    return send


def grpc_answer(trailers: Fields) -> Answer:
    """What a status other than OK means."""
    status = trailers["grpc-status"]
    code = trailers.get("error-code")
    return Answer(code or f"gRPC status {status}", code is None or status in LOST_STATUSES)


def encode_transfer(source: int, target: int, amount: int, currency: str) -> bytes:
    """A `CreateTransferRequest` in protobuf's wire format: three varints and a string."""
    text = currency.encode()
    return b"\x08%b\x10%b\x18%b\x22%b%b" % (
        _varint(source),
        _varint(target),
        _varint(amount),
        _varint(len(text)),
        text,
    )


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
