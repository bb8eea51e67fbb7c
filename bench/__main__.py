"""`make bench`: the service beside the peer on one PostgreSQL, held against its bars.

    .venv/bin/python -m bench [--quick] [--only GROUP...] [--write docs]

Every side is measured once a round, in turn, so that what else the machine does hits all of them; a figure is the
median of its rounds, and what counts is its ratio to another of the same run. A bar that is missed is reported and
fails nothing; a load that fails, or books that are not right, fail the run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import trio

from bench import asking, charts, clients, growth, latency, overload, report, throughput
from bench.run import Run, check_peer
from cli.drill.installation import open_installation

GROUPS = {
    "throughput": throughput.measure,
    "clients": clients.measure,
    "latency": latency.measure,
    "growth": growth.measure,
    "overload": overload.measure,
    "asking": asking.measure,
}
ROUNDS, QUICK_ROUNDS = 3, 1
SECONDS = {"throughput": 8.0}
"""The peer's hot row gets slower while it is hammered: in two seconds little of that is seen, for better or worse."""
OTHER_SECONDS, QUICK_SECONDS = 4.0, 2.0


def main() -> int:
    """Measure, print, and write where asked to; exit status 1 where something could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and shorter")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="GROUP")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each side in each round")
    parser.add_argument("--write", type=Path, help="write benchmarks.md and its charts into this folder")
    asked = parser.parse_args()
    check_peer()
    machine, began = report.environment(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)  # under root PostgreSQL runs as another user
        run = trio.run(_measure, asked, Path(folder))
    command = " ".join([".venv/bin/python", "-m", "bench", *sys.argv[1:]])
    names = charts.write(run.charts, asked.write / "benchmarks") if asked.write else []
    text = report.report(run.figures, command, machine, time.monotonic() - began, names)
    print(text)
    if asked.write:
        (asked.write / "benchmarks.md").write_text(text)
    return 1 if run.figures.failures else 0


async def _measure(asked: argparse.Namespace, folder: Path) -> Run:
    rounds = asked.rounds or (QUICK_ROUNDS if asked.quick else ROUNDS)
    async with open_installation(folder) as installation:
        await trio.to_thread.run_sync(installation.postgres.create_database, "peer")
        run = Run(installation, rounds, QUICK_SECONDS, asked.quick)
        for group in asked.only:
            if not asked.quick:
                run.seconds = SECONDS.get(group, OTHER_SECONDS)
            run.seconds = asked.seconds or run.seconds
            with run.noting_failure(group):
                await GROUPS[group](run)
        return run


if __name__ == "__main__":
    sys.exit(main())
