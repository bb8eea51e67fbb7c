"""One hot account, one transfer per request, 64 connections, beside the peer on the same PostgreSQL.

    .venv/bin/python -m bench.hot [--rounds 3] [--seconds 8] [--write docs/benchmarks.md]

Every side is run once a round, in turn, so that what else the machine does hits all of them; figures are
medians over the rounds, and each is quoted as a ratio to something of the same run. CPU time per request is
that of the serving process alone. PostgreSQL has its default durability.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.postgres import LocalPostgres
from infra.local.redis import LocalRedis

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT.parent / "shared" / "peer" / "peer.sh"
CONNECTIONS = 64
ACCOUNTS = 1_000
START_TIMEOUT_S = 30
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Side:
    """One thing that is measured, and what its rounds gave."""

    name: str
    measure: Callable[[], tuple[float, float | None]]
    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Measure once more."""
        rate, cpu_us = self.measure()
        self.rates.append(rate)
        if cpu_us is not None:
            self.cpu_us.append(cpu_us)

    @property
    def rate(self) -> float:
        """Requests a second, median."""
        return statistics.median(self.rates)

    @property
    def cpu(self) -> float:
        """Microseconds of the serving process per request, median."""
        return statistics.median(self.cpu_us)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8, help="of each side in each round")
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    with ExitStack() as stack:
        sides, audit = _set_up(stack, options.seconds)
        for number in range(1, options.rounds + 1):
            for side in sides.values():
                side.run()
                print(f"round {number}: {side.name}: {side.rates[-1]:,.0f}/s", file=sys.stderr, flush=True)
        audited = audit()
    report = _report(sides, options.rounds, options.seconds, audited)
    print(report)
    if options.write:
        options.write.write_text(report)


def _set_up(stack: ExitStack, seconds: int) -> tuple[dict[str, Side], Callable[[], bool]]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    folder.chmod(0o755)
    postgres, redis = LocalPostgres(folder / "postgres"), LocalRedis(folder / "redis")
    for server in (postgres, redis):
        server.start()
        stack.callback(server.stop)
    postgres.create_database("transactions")
    url = postgres.url()
    ports = {name: _free_port() for name in ("http", "grpc", "echo http", "echo grpc")}
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "REDIS_URL": redis.url,
        "VAR_DIR": str(folder),
        "HTTP_SERVER_ADDRESS": f"127.0.0.1:{ports['http']}",
        "GRPC_SERVER_ADDRESS": f"127.0.0.1:{ports['grpc']}",
    }
    command = [sys.executable, "-m", "cli.main"]
    subprocess.run(
        [*command, "migrate", "up"], check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    service = stack.enter_context(_serving([*command, "serve"], environment, ports["http"], folder))
    echoes = {
        kind: stack.enter_context(
            _serving(
                [sys.executable, "-m", f"bench.echo_{kind}", "--port", str(ports[f"echo {kind}"])],
                environment,
                ports[f"echo {kind}"],
                folder,
            )
        )
        for kind in ("http", "grpc")
    }
    plan = folder / "plan.json"
    save = ["hammer", "--hot", "--accounts", str(ACCOUNTS), "--save-plan", str(plan)]
    subprocess.run([*command, *save], check=True, cwd=ROOT, env=environment)

    def hammer(protocol: str, port: int, process: subprocess.Popen[bytes]) -> tuple[float, float]:
        options = [
            "--hot",
            "--connections",
            str(CONNECTIONS),
            "--seconds",
            str(seconds),
            "--protocol",
            protocol,
        ]
        where = ["--url", f"http://127.0.0.1:{port}"] if protocol == "http" else ["--grpc", f"127.0.0.1:{port}"]
        before = _cpu_s(process.pid)
        done = subprocess.run(
            [*command, "hammer", "--plan", str(plan), "--json", "--no-audit", *options, *where],
            check=True,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
        )
        used = _cpu_s(process.pid) - before
        result = json.loads(done.stdout)
        return result["rate"], used / result["outcomes"]["ok"] * 1e6

    def peer(clients: int) -> tuple[float, None]:
        tools = postgres.binaries
        path = {**environment, "PATH": f"{tools}:{environment['PATH']}"}
        done = subprocess.run(
            [str(PEER), url, "hot", str(clients), str(seconds)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=path,
        )
        return float(done.stdout.split()[2]), None

    sides = [
        Side("peer, 64 clients", lambda: peer(64)),
        Side("service, HTTP", lambda: hammer("http", ports["http"], service)),
        Side("bare echo, HTTP", lambda: hammer("http", ports["echo http"], echoes["http"])),
        Side("peer, 8 clients", lambda: peer(8)),
        Side("service, gRPC", lambda: hammer("grpc", ports["grpc"], service)),
        Side("bare echo, gRPC", lambda: hammer("grpc", ports["echo grpc"], echoes["grpc"])),
    ]

    def audit() -> bool:
        done = subprocess.run(
            [*command, "audit"], check=False, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
        )
        return done.returncode == 0

    return {side.name: side for side in sides}, audit


@contextmanager
def _serving(
    command: list[str], environment: dict[str, str], port: int, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((folder / "log").read_text()) from None
            time.sleep(0.02)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _report(sides: dict[str, Side], rounds: int, seconds: int, audited: bool) -> str:
    hot_64, hot_8 = sides["peer, 64 clients"].rate, sides["peer, 8 clients"].rate
    lines = [
        "# One hot account, one transfer per request",
        "",
        f"`.venv/bin/python -m bench.hot --rounds {rounds} --seconds {seconds}`: medians of {rounds} rounds of "
        f"{seconds} s, {CONNECTIONS} connections, one serving process. {_machine()}",
        "",
        "| side | requests/s | × peer-64 | × peer-8 | CPU of the server, µs per request |",
        "|---|---:|---:|---:|---:|",
    ]
    for side in sides.values():
        cpu = f"{side.cpu:,.0f}" if side.cpu_us else ""
        lines.append(
            f"| {side.name} | {side.rate:,.0f} | {side.rate / hot_64:.1f} | {side.rate / hot_8:.2f} | {cpu} |"
        )
    lines.append("")
    for kind, bar, cpu_bar in (("HTTP", 3, 1.6), ("gRPC", 5, 2.5)):
        service, echo = sides[f"service, {kind}"], sides[f"bare echo, {kind}"]
        lines.append(
            f"- {kind}: {service.rate / hot_64:.1f} × peer-64 (bar: {bar}); "
            f"CPU per request {service.cpu / echo.cpu:.2f} × the bare echo's (bar: at most {cpu_bar})"
        )
    lines.append(f"- audit of the ledger afterwards: {'clean' if audited else 'BROKEN'}")
    return "\n".join(lines) + "\n"


def _machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({model}), shared by server, PostgreSQL and load generator; "
        f"{memory_gib:.0f} GiB; {platform.system()} {platform.release().split('-')[0]}; "
        f"Python {platform.python_version()}; PostgreSQL 18 with default durability."
    )


if __name__ == "__main__":
    if not PEER.exists() or not shutil.which("bash"):
        raise SystemExit(f"the peer is not at {PEER}")
    main()
