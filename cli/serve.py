"""`transactions serve`: run the service in the foreground until it is told to stop."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from functools import partial

import trio

from actors.supervisor import RestartIntensityExceeded, print_tree
from cli.settings import Settings, SettingsError
from cli.wiring import Running, open_service
from infra.local.launcher import open_embedded
from infra.local.process import LocalServerError
from infra.local.terminal import own_terminal_signals
from migrations import newest_version
from persistence.schema import schema_version
from transport.admission import AdmissionLimits

log = logging.getLogger(__name__)

FILES_OF_OURS = 256

HOW_TO_STOP = "Ctrl-C stops it: what is in flight is finished first; a second Ctrl-C ends it at once."


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("serve", help="run the service until Ctrl-C or SIGTERM")
    parser.add_argument(
        "--embedded",
        action="store_true",
        help="start a PostgreSQL and a Redis of our own for what DATABASE_URL and REDIS_URL do not name, "
        "and bring the schema up to date",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit status 0 after an orderly drain, 1 when the service had to give up."""
    _allow_connections()
    with ExitStack() as stack:
        stack.enter_context(own_terminal_signals())
        database_url, redis_url = settings.database_url, settings.redis_url
        if arguments.embedded:
            embedded = stack.enter_context(
                open_embedded(settings.var_dir, postgres=database_url is None, redis=redis_url is None)
            )
            database_url = database_url or embedded.database_url
            redis_url = redis_url or embedded.redis_url
        if database_url is None or redis_url is None:
            missing = "DATABASE_URL" if database_url is None else "REDIS_URL"
            raise SettingsError(f"{missing}: not set (serve --embedded starts one)")
        _check_schema(database_url, migrate=arguments.embedded)
        return trio.run(partial(_serve, settings, database_url, redis_url))


def _allow_connections() -> None:
    # Connections, as many on their way out, and files of our own.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * AdmissionLimits().connections_max + FILES_OF_OURS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _check_schema(database_url: str, *, migrate: bool) -> None:
    current, newest = trio.run(schema_version, database_url), newest_version()
    if current == newest:
        return
    if not migrate:
        raise SettingsError(
            f"DATABASE_URL: the schema is at {current}, this program needs {newest}: "
            "run `transactions migrate up`"
        )
    # In a process of its own: Alembic and SQLAlchemy would stay in our memory for good.
    command = [sys.executable, "-m", "cli.main", "migrate", "up"]
    done = subprocess.run(  # noqa: S603 - the command is ours
        command, env={**os.environ, "DATABASE_URL": database_url}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LocalServerError(done.stderr.strip().rpartition("\n")[2].removeprefix("error: "))


async def _serve(settings: Settings, database_url: str, redis_url: str) -> int:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with (
            open_service(settings, database_url=database_url, redis_url=redis_url) as running,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_drain_on_signal, signals, running, settings)
            nursery.start_soon(_announce, running, settings)
            nursery.start_soon(_print_tree_on_signal, running)
            try:
                await running.root.run()
            except RestartIntensityExceeded:
                log.exception("the service gave up")
                status = 1
            else:
                status = 0
            nursery.cancel_scope.cancel()
    print("stopped", flush=True)
    return status


async def _announce(running: Running, settings: Settings) -> None:
    await running.http.listening.wait()
    await running.grpc.listening.wait()
    gc.collect()
    gc.freeze()  # what start-up made stays; the collector need not look at it again
    mail = (settings.smtp_url and "over SMTP") or f"to {settings.var_dir.absolute() / 'mail'}/*.eml"
    http_host = settings.http_server_address.rpartition(":")[0]
    grpc_host = settings.grpc_server_address.rpartition(":")[0]
    print(
        f"Transactions API\n"
        f"  HTTP   http://{http_host}:{running.http.port}\n"
        f"  gRPC   {grpc_host}:{running.grpc.port}\n"
        f"  mail   {mail}\n"
        f"  {HOW_TO_STOP}",
        flush=True,
    )


async def _drain_on_signal(signals: object, running: Running, settings: Settings) -> None:
    assert hasattr(signals, "__anext__")
    await signals.__anext__()
    print("draining", flush=True)
    running.announce_drain()
    watchdog = threading.Timer(settings.shutdown_grace_s, _give_up)
    watchdog.daemon = True
    watchdog.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_at_once, signals)
        await trio.sleep(settings.limits.listen_after_drain_s)
        running.root.stop()


async def _end_at_once(signals: object) -> None:
    assert hasattr(signals, "__anext__")
    number = await signals.__anext__()
    print("ended at once", flush=True)
    os._exit(128 + number)


def _give_up() -> None:
    print("error: not drained within SHUTDOWN_GRACE", file=sys.stderr, flush=True)
    os._exit(1)


async def _print_tree_on_signal(running: Running) -> None:
    with trio.open_signal_receiver(signal.SIGUSR1) as signals:
        async for _ in signals:
            print("\n".join(print_tree(running.root.statistics())), file=sys.stderr, flush=True)
