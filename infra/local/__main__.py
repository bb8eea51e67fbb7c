"""The developer commands behind `make postgres | redis | createdb | dropdb`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from infra.local.interrupts import Interrupted, Interrupts
from infra.local.launcher import AT_ONCE_S, DATABASE
from infra.local.postgres import LocalPostgres
from infra.local.process import LocalServerError
from infra.local.redis import LocalRedis
from infra.local.terminal import own_terminal_signals

POLL_S = 0.05


def main() -> int:
    """Run one command; exit status 0, 1 (failed) or 2 (bad usage)."""
    commands = {"postgres": _postgres, "redis": _redis, "createdb": _createdb, "dropdb": _dropdb, "url": _url}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        print(f"usage: python -m infra.local {'|'.join(commands)}", file=sys.stderr)
        return 2
    try:
        commands[sys.argv[1]]()
    except (LocalServerError, subprocess.SubprocessError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _folder(name: str) -> Path:
    return Path(os.environ.get("VAR_DIR") or "var") / name


def _postgres() -> None:
    _serve(LocalPostgres(_folder("postgres")), "PostgreSQL")


def _redis() -> None:
    _serve(LocalRedis(_folder("redis")), "Redis")


def _serve(server: LocalPostgres | LocalRedis, name: str) -> None:
    with own_terminal_signals(), Interrupts(partial(server.stop, AT_ONCE_S)) as interrupts:
        try:
            server.start(interrupts.check)
            url = server.url() if isinstance(server, LocalPostgres) else server.url
            print(f"{name} runs at {url}\nCtrl-C stops it.", flush=True)
            while server.alive:
                interrupts.check()
                time.sleep(POLL_S)
            raise LocalServerError(f"{name} has ended")
        except Interrupted:
            return
        finally:
            server.stop()


def _createdb() -> None:
    with _Database() as database:
        made = database.create_database(DATABASE)
        print(f"{DATABASE} {'created' if made else 'is there already'}")


def _dropdb() -> None:
    with _Database() as database:
        database.drop_database(DATABASE)
        print(f"{DATABASE} dropped")


def _url() -> None:
    print(LocalPostgres(_folder("postgres")).url(DATABASE))


class _Database:
    """The embedded PostgreSQL: the one that runs, or one started for a moment."""

    def __init__(self) -> None:
        self._server = LocalPostgres(_folder("postgres"))
        self._started = False

    def __enter__(self) -> LocalPostgres:
        if not self._server.running:
            self._server.start()
            self._started = True
        return self._server

    def __exit__(self, *_: object) -> None:
        if self._started:
            self._server.stop()


if __name__ == "__main__":
    sys.exit(main())
