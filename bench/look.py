"""What one look of the feed costs, by the number of watched accounts.

.venv/bin/python -m bench.look
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from time import perf_counter

import psycopg

from infra.local.postgres import LocalPostgres
from migrations import run as migrations
from persistence.accounts import NEWEST_ENTRIES

ACCOUNTS = 100_000
WATCHED = (1, 100, 1_000, 10_000)
ROUNDS = 50


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="transactions-bench-") as folder:
        Path(folder).chmod(0o755)  # under root PostgreSQL runs as another user
        server = LocalPostgres(Path(folder) / "postgres", settings={})
        server.start()
        try:
            server.create_database("look")
            migrations.up(server.url("look"))
            with psycopg.connect(server.url("look"), autocommit=True) as connection:
                _measure(connection)
        finally:
            server.stop()


def _measure(connection: psycopg.Connection) -> None:
    connection.execute(
        "insert into users (username, full_name, email, password_hash) values ('alice', 'A', 'a@b.cd', 'x')"
    )
    made = connection.execute(
        "insert into accounts (owner, currency) select 'alice', 'USD' from generate_series(1, %s) returning id",
        [ACCOUNTS],
    )
    accounts = [row[0] for row in made]
    connection.execute("vacuum analyze accounts")
    for number in WATCHED:
        watched = accounts[:: ACCOUNTS // number][:number]
        print(f"{number:>6,} watched: {_median_ms(connection, watched):.2f} ms")


def _median_ms(connection: psycopg.Connection, watched: list[int]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = perf_counter()
        dict(connection.execute(NEWEST_ENTRIES, [watched], prepare=True).fetchall())
        times.append(perf_counter() - began)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    main()
