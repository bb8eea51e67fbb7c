"""Loads that are no part of `transactions hammer`, each a process of its own: `python -m bench.loads KIND ...`.

`batches` keeps calls of many transfers in flight, `stream` many transfers on one call; `paced` sends single
transfers at a steady rate, whatever the answers take: one that is behind its schedule has waited since its time.
Prints what the hammer prints.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from itertools import cycle
from pathlib import Path
from time import perf_counter

import trio

from cli.hammer import report
from cli.hammer.plan import Plan
from cli.hammer.senders import Send, grpc_senders, http_senders
from cli.hammer.tally import OK, Answer, Tally
from proto.transactions.v2 import ledger_pb2 as pb
from transport.client.channel import open_channel
from transport.client.stream import Stream

HOST = "127.0.0.1"
SERVICE = "/transactions.v2.Ledger"
BATCH = 500
PREPARED = 16_000
"""Transfers that are encoded beforehand and sent over and over: the load must cost less than the service."""


async def batches(plan: Plan, port: int, in_flight: int, seconds: float) -> Tally:
    """So many BatchTransfers calls in flight."""
    tally = Tally()
    orders = _orders(plan)
    messages = [
        pb.BatchTransfersRequest(transfers=orders[at : at + BATCH]).SerializeToString()
        for at in range(0, PREPARED, BATCH)
    ]
    async with open_channel(HOST, port) as channel:
        block = channel.header_block(f"{SERVICE}/BatchTransfers", _credentials(plan))
        began = perf_counter()

        async def work(number: int) -> None:
            for message in cycle(messages[number::in_flight]):
                sent = perf_counter()
                if sent - began >= seconds:
                    return
                answer = (await channel.call(block, message)).only_message()
                took = perf_counter() - sent
                for outcome in pb.BatchTransfersResponse.FromString(answer).outcomes:
                    tally.record(Answer(outcome.error.code or OK), took)

        async with trio.open_nursery() as nursery:
            for number in range(in_flight):
                nursery.start_soon(work, number)
        tally.seconds = perf_counter() - began
    return tally


async def stream(plan: Plan, port: int, in_flight: int, seconds: float) -> Tally:
    """One StreamTransfers call, on which so many are under way."""
    async with open_channel(HOST, port) as channel:
        block = channel.header_block(f"{SERVICE}/StreamTransfers", _credentials(plan))
        call = await channel.open(block)
        try:
            return await _Streaming(plan, call, in_flight).run(seconds)
        finally:
            call.cancel()


class _Streaming:
    def __init__(self, plan: Plan, call: Stream, in_flight: int) -> None:
        self._call = call
        self._room = trio.Semaphore(in_flight)
        self._messages = [
            pb.StreamTransfersRequest(reference=str(number), transfer=order).SerializeToString()
            for number, order in enumerate(_orders(plan))
        ]
        self._sent_at = [0.0] * PREPARED
        self._tally = Tally()

    async def run(self, seconds: float) -> Tally:
        began = perf_counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, began + seconds)
            await self._receive()
        self._tally.seconds = perf_counter() - began
        return self._tally

    async def _send(self, ends: float) -> None:
        for number in cycle(range(PREPARED)):
            await self._room.acquire()
            now = self._sent_at[number] = perf_counter()
            if now >= ends:
                break
            await self._call.send(self._messages[number])
        await self._call.close_sending()

    async def _receive(self) -> None:
        while (raw := await self._call.receive()) is not None:
            answer = pb.StreamTransfersResponse.FromString(raw)
            took = perf_counter() - self._sent_at[int(answer.reference)]
            self._tally.record(Answer(answer.outcome.error.code or OK), took)
            self._room.release()


async def paced(plan: Plan, protocol: str, port: int, in_flight: int, seconds: float, rate: float) -> Tally:
    """So many transfers a second, evenly, each by the sender whose turn it is."""
    tally, rng = Tally(), random.Random()
    opened = (
        http_senders(plan, HOST, port, in_flight)
        if protocol == "http"
        else grpc_senders(plan, HOST, port, in_flight, 1)
    )
    async with opened as sends:
        began = perf_counter()

        async def work(number: int, send: Send) -> None:
            while (due := number / rate) < seconds:
                early = began + due - perf_counter()
                if early > 0:
                    await trio.sleep(early)
                since = perf_counter() if early > 0 else began + due  # not the timer's own delay
                answer = await send(*plan.pair(rng), number)
                tally.record(answer, perf_counter() - since)
                number += in_flight

        async with trio.open_nursery() as nursery:
            for number, send in enumerate(sends):
                nursery.start_soon(work, number, send)
        tally.seconds = perf_counter() - began
    return tally


def _orders(plan: Plan) -> list[pb.TransferOrder]:
    rng = random.Random()
    pairs = (plan.pair(rng) for _ in range(PREPARED))
    return [
        pb.TransferOrder(from_account_id=source, to_account_id=target, amount=1, currency=plan.currency)
        for source, target in pairs
    ]


def _credentials(plan: Plan) -> dict[str, str]:
    return {"authorization": f"Bearer {plan.token}"}


def main() -> int:
    """Run one and print what came of it; exit status 1 as the hammer's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kind", choices=["batches", "stream", "paced"])
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--protocol", choices=["http", "grpc"], default="grpc")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, help="paced: transfers a second")
    asked = parser.parse_args()
    plan = Plan.read(asked.plan)
    if asked.kind == "paced":
        options = (plan, asked.protocol, asked.port, asked.in_flight, asked.seconds, asked.rate)
        tally = trio.run(paced, *options)
    else:
        load = {"batches": batches, "stream": stream}[asked.kind]
        tally = trio.run(load, plan, asked.port, asked.in_flight, asked.seconds)
    result = report.summary(
        tally, protocol=asked.protocol, hot=plan.hot, connections=asked.in_flight, audit_clean=None
    )
    print(json.dumps(result))
    return 1 if report.failed(tally) else 0


if __name__ == "__main__":
    sys.exit(main())
