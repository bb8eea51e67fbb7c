"""`transactions migrate`: the schema up, down, or where it is."""

from __future__ import annotations

import argparse
import json

from cli.database import database_url
from cli.settings import Settings, SettingsError


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "migrate",
        help="bring the schema up to date, take back a version, or show it",
        description="Every direction ends by telling where the schema is. Exit status 1: it could not be moved, "
        "or (status) it is not at the newest version.",
    )
    parser.add_argument("direction", choices=["up", "down", "status"])
    parser.add_argument("--all", action="store_true", help="down: take back every version, with all data")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Status exits with 1 when the schema is not the newest."""
    if arguments.all and arguments.direction != "down":
        raise SettingsError("--all: goes with down only")
    from migrations import run as migrations  # heavy, and needed by no other command

    url = database_url(settings)
    if arguments.direction == "up":
        migrations.up(url)
    elif arguments.direction == "down":
        migrations.down(url, "base" if arguments.all else "-1")
    current, newest = migrations.status(url)
    if arguments.json:
        print(json.dumps({"current": current, "newest": newest}))
    else:
        print(f"schema at {current or 'nothing'}, newest is {newest}")
    return int(arguments.direction == "status" and current != newest)
