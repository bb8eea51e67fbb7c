"""The `transactions` command. Exit status: 0 ok, 1 failed, 2 bad usage or bad settings."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import NoReturn

OK, FAILED, BAD_USAGE = 0, 1, 2
COMMANDS = ("serve", "migrate", "user", "hammer.command", "drill.command", "audit", "mail", "smoke.command")


def main(arguments: list[str] | None = None) -> int:
    """Parse, read the settings, run."""
    arguments = sys.argv[1:] if arguments is None else arguments
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is there yet that would have to be ended
    parser = _parser(arguments)
    signal.signal(signal.SIGINT, before)
    parsed = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        return _run(parsed)
    except (KeyboardInterrupt, EOFError):
        print("error: interrupted", file=sys.stderr)
        return FAILED


def _run(parsed: argparse.Namespace) -> int:
    from cli import settings

    try:
        loaded = settings.load()
        logging.getLogger().setLevel(loaded.log_level.upper())
        status: int = parsed.run(parsed, loaded)
    except settings.SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_USAGE
    except Exception as error:
        leaves = list(_leaves(error))
        if not all(isinstance(leaf, _expected()) for leaf in leaves):
            raise
        first, *_ = str(leaves[0]).splitlines() or [type(leaves[0]).__name__]  # PostgreSQL quotes the statement
        print(f"error: {first}", file=sys.stderr)
        return FAILED
    return status


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, where argparse prints all that would have been right before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_USAGE, f"error: {message} (see {self.prog} --help)\n")


def _expected() -> tuple[type[Exception], ...]:
    """What may stand in the way of a command without being a defect: one line, no traceback."""
    from cli.settings import StartFailed
    from domain.errors import ServiceError
    from infra.local.process import LocalServerError
    from persistence.faults import DatabaseFault

    return StartFailed, LocalServerError, DatabaseFault, ServiceError, OSError


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    # Only of the command that is named, where one is: what the others import would stay in its memory.
    named = [name for name in COMMANDS if [name.partition(".")[0]] == arguments[:1]]
    parser = _Parser(prog="transactions", description="A bank's transfer service: every account an actor.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in named or COMMANDS:
        import_module(f"cli.{name}").add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
