"""`transactions audit`: every ledger invariant, on a live database."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

import trio
from rich.console import Console
from rich.table import Table

from cli.database import database_url
from cli.settings import Settings
from persistence.audit import Audit, audit
from persistence.pool import open_pool


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "audit",
        help="check every ledger invariant; 1 when one is broken",
        description="Checks every invariant of the ledger on one snapshot of the database, which may be busy "
        "meanwhile. Exit status 1 names the first account that breaks a rule.",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit status 1 names the first account that breaks a rule."""
    result = trio.run(audited, database_url(settings))
    if arguments.json:
        print(json.dumps({"clean": result.clean, **asdict(result)}))
    else:
        show(result, Console())
    if (first := result.first_broken) is None:
        return 0
    print(f"error: {first.broken_by}", file=sys.stderr)
    return 1


async def audited(url: str) -> Audit:
    """The audit of the database at `url`."""
    async with open_pool(url) as pool, pool.connection() as connection:
        return await audit(connection)


def show(result: Audit, console: Console) -> None:
    """The findings as a table."""
    table = Table(
        title=f"{result.accounts:,} accounts, {result.transfers:,} transfers, {result.entries:,} entries"
    )
    table.add_column("rule")
    table.add_column("")
    for finding in result.findings:
        table.add_row(
            finding.rule, "[green]holds" if finding.broken_by is None else f"[red]{finding.broken_by}"
        )
    console.print(table)
