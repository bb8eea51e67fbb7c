"""What the ledger's guards cost PostgreSQL: its CPU time per transfer, with and without them, by size of batch.

    .venv/bin/python -m bench.guards [--before 0014] [--rounds 40] [--seconds 0.1]

The service's own two statements, one connection, every transfer from one hot account to one of a thousand. The
sides are a database without guards (its triggers off), one at the version before the newest guards, and one at
the newest; they take turns within each of many short rounds, so that what else the machine does hits all of them.
CPU time is that of the connection's backend alone. A figure is the least of its rounds; the last column is the
median, over the rounds, of what the newest guards add to those before.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psycopg
import trio

from bench.statements import Statements
from infra.local.postgres import LocalPostgres
from migrations import run as migrations
from persistence.connection import Connection, open_connection

BATCHES = (1, 8, 64, 512)
ACCOUNTS = 1_000
OVERDRAFT = 10**15
NONE, BEFORE, NOW = "none", "before", "now"


class Side:
    """One database; `cpu_us` has each round's microseconds per transfer by size of batch."""

    def __init__(self, connection: Connection, backend_pid: int, accounts: list[int]) -> None:
        self._schedule = Path(f"/proc/{backend_pid}/schedstat")
        self._statements = Statements(connection, accounts, "alice", "USD")
        self.cpu_us: dict[int, list[float]] = {size: [] for size in BATCHES}

    async def run(self, size: int, seconds: float) -> None:
        """Batches of this size for so long."""
        began_ns = self._cpu_ns()
        transfers = await self._statements.run(size, seconds)
        self.cpu_us[size].append((self._cpu_ns() - began_ns) / 1_000 / transfers)

    def least_us(self, size: int) -> float:
        """Of the round that was disturbed least."""
        return min(self.cpu_us[size])

    def added_to(self, other: Side, size: int) -> float:
        """How much more than the other's, as a share: the median of the rounds."""
        ratios = [mine / theirs for mine, theirs in zip(self.cpu_us[size], other.cpu_us[size], strict=True)]
        return statistics.median(ratios) - 1

    def _cpu_ns(self) -> int:
        return int(self._schedule.read_text().split()[0])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--before", default="0014", help="the version whose guards the newest are held against")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each size on each side in each round")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="transactions-bench-") as folder:
        Path(folder).chmod(0o755)  # under root PostgreSQL runs as another user
        server = LocalPostgres(Path(folder) / "postgres", settings={})
        server.start()
        try:
            trio.run(_measure, server, options.before, options.rounds, options.seconds)
        finally:
            server.stop()


async def _measure(server: LocalPostgres, before: str, rounds: int, seconds: float) -> None:
    async with AsyncExitStack() as stack:
        versions = {NONE: "head", BEFORE: before, NOW: "head"}
        sides = {
            name: await stack.enter_async_context(_side(server, name, version))
            for name, version in versions.items()
        }
        for _ in range(rounds):
            for size in BATCHES:
                for side in sides.values():
                    await side.run(size, seconds)
    _show(sides, before)


def _show(sides: dict[str, Side], before: str) -> None:
    print(f"| batch | no guards | guards at {before} | guards now | added |\n|---:|---:|---:|---:|---:|")
    for size in BATCHES:
        none, then, now = (sides[name].least_us(size) for name in (NONE, BEFORE, NOW))
        added = sides[NOW].added_to(sides[BEFORE], size)
        print(f"| {size} | {none:.1f} µs | {then:.1f} µs | {now:.1f} µs | {added:+.1%} |")


@asynccontextmanager
async def _side(server: LocalPostgres, name: str, version: str) -> AsyncIterator[Side]:
    server.create_database(name)
    url = server.url(name)
    migrations.up(url, version)
    accounts = _accounts(url)
    connection = await open_connection(url)
    if name == NONE:
        await connection.execute("set session_replication_role = replica")
    cursor = await connection.execute("select pg_backend_pid()")
    ((pid,),) = await cursor.fetchall()
    try:
        yield Side(connection, pid, accounts)
    finally:
        connection.abandon()


def _accounts(url: str) -> list[int]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "insert into users (username, full_name, email, password_hash) values ('alice', 'A', 'a@b.cd', 'x')"
        )
        made = connection.execute(
            "insert into accounts (owner, currency, overdraft_limit) "
            "select 'alice', 'USD', %s from generate_series(1, %s) returning id",
            [OVERDRAFT, ACCOUNTS],
        )
        accounts = [row[0] for row in made]
        connection.execute("vacuum analyze accounts")
        return accounts


if __name__ == "__main__":
    main()
