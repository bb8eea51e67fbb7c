"""The `transactions` command. Exit status: 0 ok, 1 failed, 2 bad usage or bad settings."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator

from cli import audit, mail, migrate, serve, settings, user
from cli.drill import command as drill
from cli.hammer import command as hammer
from cli.smoke import command as smoke
from domain.errors import ServiceError
from infra.local.process import LocalServerError
from persistence.faults import DatabaseFault

OK, FAILED, BAD_USAGE = 0, 1, 2
EXPECTED = (LocalServerError, DatabaseFault, ServiceError, OSError)
"""What may stand in the way of a command without being a defect: one line, no traceback."""


def main(arguments: list[str] | None = None) -> int:
    """Parse, read the settings, run."""
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        loaded = settings.load()
        logging.getLogger().setLevel(loaded.log_level.upper())
        status: int = parsed.run(parsed, loaded)
    except settings.SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_USAGE
    except (*EXPECTED, ExceptionGroup) as error:
        leaves = list(_leaves(error))
        if not all(isinstance(leaf, EXPECTED) for leaf in leaves):
            raise
        print(f"error: {leaves[0]}", file=sys.stderr)
        return FAILED
    return status


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="transactions", description="A bank's transfer service: every account an actor."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (serve, migrate, user, hammer, drill, audit, mail, smoke):
        module.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
