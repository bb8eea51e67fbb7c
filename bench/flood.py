"""An overload, as a process of its own: `python -m bench.flood`. Transfers at a rate that nobody can keep up with.

It waits for nobody: whichever of its connections is free sends the next request, whatever the answers say of coming
back later. A Python client that parsed its answers would be the bottleneck, so this one has sockets, epoll, and an
eye for the status line.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import select
import socket
from collections import Counter, deque
from pathlib import Path
from time import perf_counter, sleep
from types import TracebackType
from typing import Any

from cli.hammer.plan import Plan
from cli.hammer.tally import nearest_rank

RECEIVE_BYTES = 64 * 1024
PREPARED = 1_000
TICK_S = 0.001
SETTLE_S = 1.0
"""From the last connection to the first request: the overload is one of requests."""
LAST_ANSWERS_S = 10.0
"""From the last request to giving up those that have not been answered."""
BURST_MAX = 1_000
"""Requests that are sent between two looks for answers."""
OK, REFUSED, OTHER = "ok", "refused", "other"

_HEAD = re.compile(
    rb"HTTP/1\.1 (\d{3}) .*?\r\ncontent-length: *(\d+)\r\n.*?\r\n\r\n", re.IGNORECASE | re.DOTALL
)


class Flood:
    """A context manager, for its connections.

    `took_ms` has the time to each answer by what it was, `late` how many came once no more was sent.
    """

    def __init__(self, plan: Plan, port: int, connections: int) -> None:
        self.sent = 0
        self.cut_off = 0
        self.took_ms: dict[str, list[float]] = {OK: [], REFUSED: [], OTHER: []}
        self.late = Counter[str]()
        self._requests = _requests(plan, port)
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._sent_at: dict[int, float] = {}
        self._received: dict[int, bytearray] = {}
        self._free: deque[int] = deque()
        self._port = port
        for _ in range(connections):
            self._connect()

    def __enter__(self) -> Flood:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._poll.close()
        for connection in self._sockets.values():
            connection.close()

    def run(self, rate: float, seconds: float) -> None:
        """So many requests a second, as far as there are free connections to send them on."""
        began, offered = perf_counter(), 0
        while (elapsed := perf_counter() - began) < seconds:
            due = int(elapsed * rate)
            for _ in range(min(due - offered, BURST_MAX, len(self._free))):
                self._send(self._free.popleft())
            offered = due  # what no connection was free for is not sent later
            for descriptor, _ in self._poll.poll(TICK_S):
                self._receive(descriptor)

    def finish(self) -> float:
        """Wait for the answers to what is still under way, which nobody may just forget; returns the seconds."""
        in_time, self.took_ms = self.took_ms, {kind: [] for kind in self.took_ms}
        began = perf_counter()
        while self._sent_at and perf_counter() - began < LAST_ANSWERS_S:
            for descriptor, _ in self._poll.poll(TICK_S):
                self._receive(descriptor)
        self.cut_off += len(self._sent_at)
        self.late.update({kind: len(took) for kind, took in self.took_ms.items()})
        self.took_ms = in_time
        return perf_counter() - began

    def _connect(self) -> None:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        connection.setblocking(False)
        descriptor = connection.fileno()
        self._sockets[descriptor] = connection
        self._received[descriptor] = bytearray()
        self._poll.register(descriptor, select.EPOLLIN)
        self._free.append(descriptor)

    def _send(self, descriptor: int) -> None:
        request = self._requests[self.sent % PREPARED]
        try:
            sent = self._sockets[descriptor].send(request)
        except OSError:
            self._replace(descriptor)
            return
        assert sent == len(request), "a request fits into an empty socket"
        self._sent_at[descriptor] = perf_counter()
        self.sent += 1

    def _receive(self, descriptor: int) -> None:
        try:
            data = self._sockets[descriptor].recv(RECEIVE_BYTES)
        except BlockingIOError:
            return  # the news was of the connection that this one has replaced
        except OSError:
            data = b""
        if not data:
            self._replace(descriptor)
            return
        received = self._received[descriptor]
        received += data
        head = _HEAD.match(received)
        if head is None or len(received) < head.end() + int(head[2]):
            return
        took_ms = (perf_counter() - self._sent_at.pop(descriptor)) * 1000
        self.took_ms[kind_of(int(head[1]), bytes(received))].append(took_ms)
        received.clear()
        if b"\r\nconnection: close" in head[0].lower():
            self._replace(descriptor)
        else:
            self._free.append(descriptor)

    def _replace(self, descriptor: int) -> None:
        """Its server has closed it, or said that it will: which is fair after an answer, and is counted before."""
        if self._sent_at.pop(descriptor, None) is not None:
            self.cut_off += 1
        elif descriptor in self._free:
            self._free.remove(descriptor)
        self._poll.unregister(descriptor)
        self._sockets.pop(descriptor).close()
        self._connect()


def kind_of(status: int, answer: bytes) -> str:
    """What an answer is: refused is only what says so in full."""
    if status == 201:
        return OK
    refused = status == 429 and b'"overloaded"' in answer and b"\r\nretry-after:" in answer.lower()
    return REFUSED if refused else OTHER


def _requests(plan: Plan, port: int) -> list[bytes]:
    rng = random.Random()
    requests = []
    for _ in range(PREPARED):
        source, target = plan.pair(rng)
        members = {"from_account_id": source, "to_account_id": target, "amount": 1, "currency": plan.currency}
        body = json.dumps(members)
        requests.append(
            (
                f"POST /v1/transfers HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {plan.token}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        )
    return requests


def _summary(flood: Flood, seconds: float) -> dict[str, Any]:
    return {
        "sent": flood.sent / seconds,
        "cut_off": flood.cut_off / seconds,
        **{kind: len(took) / seconds for kind, took in flood.took_ms.items()},
        "late": {kind: number / seconds for kind, number in flood.late.items()},
        "p99_ms": {kind: _p99(took) for kind, took in flood.took_ms.items()},
    }


def _p99(values: list[float]) -> float | None:
    return nearest_rank(sorted(values), 0.99) if values else None


def main() -> None:
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, required=True)
    asked = parser.parse_args()
    with Flood(Plan.read(asked.plan), asked.port, asked.connections) as flood:
        sleep(SETTLE_S)
        flood.run(asked.rate, asked.seconds)
        finish_s = flood.finish()
    print(json.dumps(_summary(flood, asked.seconds) | {"finish_s": finish_s}), flush=True)


if __name__ == "__main__":
    main()
