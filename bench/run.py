"""One run of the benchmarks: where it happens, what its sides are made of, and what it has found so far."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from bench.figures import Figure, Figures
from bench.processes import cpu_s
from cli.drill.installation import COMMAND, ROOT, DrillFailed, Installation
from cli.hammer.http_client import HttpFailed
from transport.client.failures import CallFailed

PEER = Path(os.environ.get("PEER") or ROOT.parent / "shared" / "peer" / "peer.sh")
CONNECTIONS = 64

Side = Callable[[], Awaitable[Mapping[Figure, float]]]
Points = list[tuple[float, float]]


class SideFailed(Exception):
    """A process that a side is made of failed."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a load's process printed, and the CPU time of the server that it was on."""

    rate: float
    latency_ms: Mapping[str, float]
    """Of the first client, where there are several."""
    cpu_us: float
    """For each transfer that was acknowledged."""


@dataclass
class Run:
    """`seconds` is how long a side is measured each time, `rounds` how often."""

    installation: Installation
    rounds: int
    seconds: float
    quick: bool = False
    figures: Figures = field(default_factory=Figures)
    charts: dict[str, dict[str, Points]] = field(default_factory=dict)
    """By chart and line; see `bench.charts`."""

    async def alternate(self, sides: Mapping[str, Side], rounds: int | None = None) -> None:
        """Measure all sides once a round, in turn, so that what else the machine does hits all of them."""
        for number in range(1, (rounds or self.rounds) + 1):
            for name, side in sides.items():
                with self.noting_failure(f"round {number}: {name}"):
                    values = await side()
                    self.figures.add(values)
                    shown = ", ".join(f"{value:,.4g} {figure.unit}".strip() for figure, value in values.items())
                    print(f"round {number}: {name}: {shown or 'done'}", file=sys.stderr, flush=True)

    @contextmanager
    def noting_failure(self, what: str) -> Iterator[None]:
        """A load or a service that fails is in the report, and the run goes on without its figures."""
        try:
            yield
        except* (SideFailed, HttpFailed, CallFailed, DrillFailed) as failed:
            why = "; ".join(" ".join(str(each).split()) for each in failed.exceptions)
            self.figures.failures.append(f"{what}: {why}")
            print(f"error: {what}: {why}", file=sys.stderr, flush=True)

    async def peer(self, script: str, clients: int) -> float:
        """Transfers a second of the classic transaction, on the same PostgreSQL."""
        postgres = self.installation.postgres
        path = {**os.environ, "PATH": f"{postgres.binaries}:{os.environ['PATH']}"}
        command = [str(PEER), postgres.url("peer"), script, str(clients), str(max(1, round(self.seconds)))]
        return float((await output(command, path)).split()[2])

    async def hammer(
        self,
        plan: Path,
        protocol: str,
        port: int,
        pid: int,
        *options: str,
        connections: int = CONNECTIONS,
        clients: int = 1,
    ) -> Load:
        """`transactions hammer` from so many processes, which share the connections."""
        where = ["--url", f"http://127.0.0.1:{port}"] if protocol == "http" else ["--grpc", f"127.0.0.1:{port}"]
        each = ["--connections", str(connections // clients), "--seconds", str(self.seconds)]
        what = ["hammer", "--plan", str(plan), "--protocol", protocol, "--json", "--no-audit"]
        return await self._load([*COMMAND, *what, *where, *each, *options], pid, clients)

    async def load(
        self,
        kind: str,
        plan: Path,
        port: int,
        pid: int,
        in_flight: int,
        *options: str,
        seconds: float | None = None,
    ) -> Load:
        """A load of `bench.loads`."""
        what = [kind, "--plan", str(plan), "--port", str(port)]
        how = ["--in-flight", str(in_flight), "--seconds", str(seconds or self.seconds), *options]
        return await self._load([sys.executable, "-m", "bench.loads", *what, *how], pid)

    async def _load(self, command: list[str], pid: int, clients: int = 1) -> Load:
        environment = {**os.environ, "VAR_DIR": str(self.installation.folder / "load")}
        printed: list[dict[str, Any]] = []

        async def run() -> None:
            printed.append(json.loads(await output(command, environment)))

        before = cpu_s(pid)
        async with trio.open_nursery() as nursery:
            for _ in range(clients):
                nursery.start_soon(run)
        used_us = (cpu_s(pid) - before) * 1e6
        acknowledged = sum(each["outcomes"]["ok"] for each in printed)
        return Load(sum(each["rate"] for each in printed), printed[0]["latency_ms"], used_us / acknowledged)


def check_peer() -> None:
    """Raise SystemExit where the peer can not be run."""
    if not PEER.exists() or not shutil.which("bash"):
        raise SystemExit(f"error: the peer is not at {PEER}: say PEER=/path/to/peer.sh")


async def output(command: list[str], environment: Mapping[str, str] = os.environ) -> str:
    """What a command printed; raises SideFailed."""
    done = await trio.run_process(
        command, cwd=ROOT, env=environment, capture_stdout=True, capture_stderr=True, check=False
    )
    if done.returncode:
        raise SideFailed(f"{' '.join(command)}: {done.stderr.decode()[-2000:]}{done.stdout.decode()[-2000:]}")
    return done.stdout.decode()
