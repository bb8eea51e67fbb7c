"""`transactions mail`: what waits in the mail queue, and what to do with mails that were given up."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

import trio
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.database import redis_url
from cli.settings import Settings
from persistence.dead_letters import DeadLetter, DeadLetters
from persistence.mail_queue import MailQueue, QueueCounts
from persistence.redis import RedisUnavailable, open_redis

LISTED_MAX = 20
CONSUMER = "command line"  # reads nothing


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "mail",
        help="show the mail queue; send dead letters again, or forget them",
        description="Without an ACTION: how many mails wait, are being sent and were given up, "
        "and why the newest of those were.",
    )
    parser.add_argument(
        "action",
        metavar="ACTION",
        nargs="?",
        default="show",
        choices=["show", "retry-dead", "purge-dead"],
        help="show (default), retry-dead (put all dead letters back into the queue) or "
        "purge-dead (forget all of them, for good)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit status 1 when Redis can not be reached."""
    url = redis_url(settings)
    try:
        if arguments.action == "show":
            show(*trio.run(look, url), as_json=arguments.json)
            return 0
        done, count = trio.run(change, url, arguments.action)
    except RedisUnavailable as error:
        print(f"error: Redis: {error}", file=sys.stderr)
        return 1
    print(json.dumps({done: count}) if arguments.json else f"{count} dead letters {done}")
    return 0


async def look(url: str) -> tuple[QueueCounts, list[DeadLetter]]:
    """The queue's numbers and its newest dead letters."""
    async with open_redis(url) as redis:
        return await MailQueue(redis, CONSUMER).counts(), await DeadLetters(redis).newest(LISTED_MAX)


async def change(url: str, action: str) -> tuple[str, int]:
    """What was done, and to how many."""
    async with open_redis(url) as redis:
        if action == "retry-dead":
            return "revived", await MailQueue(redis, CONSUMER).revive_dead()
        return "purged", await DeadLetters(redis).purge()


def show(counts: QueueCounts, letters: list[DeadLetter], *, as_json: bool) -> None:
    """As one JSON object or as a table."""
    if as_json:
        listed = [{**asdict(each), "buried_at": each.buried_at.isoformat()} for each in letters]
        print(json.dumps({**asdict(counts), "newest_dead_letters": listed}))
        return
    print(f"{counts.waiting} waiting, {counts.pending} being sent, {counts.dead} dead letters")
    if letters:
        table = Table("outbox id", "given up at (UTC)", "reason", title="newest dead letters")
        for each in letters:
            # The reason may be a foreign server's words: text, never markup.
            table.add_row(str(each.outbox_id), f"{each.buried_at:%Y-%m-%d %H:%M:%S}", Text(each.reason))
        Console().print(table)
