"""`transactions serve`: run the service in the foreground until it is told to stop."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import NoReturn

import trio

from cli.drain import DrainTimes
from cli.process import Drain, freeze, give_up, print_tree_on_signal, run_until_drained, say
from cli.settings import Settings, SettingsError, StartFailed, make_folder
from cli.wiring import Running, open_service
from cli.workers import child
from cli.workers.parent import Parent
from cli.workers.place import Place
from infra.local.interrupts import Interrupted, Interrupts
from infra.local.launcher import EmbeddedServers
from infra.local.process import run as run_command
from infra.local.terminal import own_terminal_signals
from migrations import newest_version
from persistence.faults import DatabaseFault
from persistence.schema import schema_version
from transport.admission import AdmissionLimits

FILES_OF_OURS = 256
CONNECTIONS_OF_OTHERS = 20

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
    parser.add_argument("--worker", type=Place.parse, help=argparse.SUPPRESS)  # what a parent gives its workers
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit status 0 after an orderly drain, 1 when the service had to give up."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # there is no tree to print yet
    _allow_connections()
    _check_urls(arguments, settings)
    if arguments.embedded or settings.smtp_url is None:
        make_folder(settings.var_dir)
    if arguments.worker is not None:
        assert settings.database_url is not None
        assert settings.redis_url is not None
        urls = {"database_url": settings.database_url, "redis_url": settings.redis_url}
        return child.run(arguments.worker, settings, **urls)
    times = DrainTimes.within(settings.shutdown_grace_s)
    embedded = EmbeddedServers(settings.var_dir, stop_s=times.embedded_each_s)
    with own_terminal_signals(), Interrupts(embedded.stop_at_once) as interrupts, ExitStack() as stack:
        if arguments.embedded:
            stack.enter_context(embedded)
        try:
            return _run(arguments, settings, embedded, interrupts)
        except Interrupted:
            say("stopped")
            return 0


def _check_urls(arguments: argparse.Namespace, settings: Settings) -> None:
    if arguments.embedded:
        return
    for name, url in (("DATABASE_URL", settings.database_url), ("REDIS_URL", settings.redis_url)):
        if url is None:
            raise SettingsError(f"{name}: not set (serve --embedded starts one)")


def _run(
    arguments: argparse.Namespace, settings: Settings, embedded: EmbeddedServers, interrupts: Interrupts
) -> int:
    redis_url = settings.redis_url or embedded.start_redis(interrupts.check)
    connections = settings.workers * settings.limits.pool_connections + CONNECTIONS_OF_OTHERS
    database_url = settings.database_url or embedded.start_postgres(interrupts.check, connections=connections)
    _check_schema(database_url, interrupts, migrate=arguments.embedded)
    interrupts.check()
    serve = _serve if settings.workers == 1 else _serve_by_workers
    return trio.run(partial(serve, settings, database_url, redis_url, embedded, interrupts))


def _allow_connections() -> None:
    # Connections, as many on their way out, and files of our own.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * AdmissionLimits().connections_max + FILES_OF_OURS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _check_schema(database_url: str, interrupts: Interrupts, *, migrate: bool) -> None:
    try:
        current, newest = trio.run(schema_version, database_url), newest_version()
    except DatabaseFault as fault:
        raise StartFailed(f"DATABASE_URL: {fault}") from fault
    if current is not None and current >= newest:
        # A later one is of a later release, which has migrated first: a version takes nothing away that the release
        # before it uses (docs/migrations.md). A pod of this release that starts anew, or a roll-back, goes on with it.
        return
    if not migrate:
        raise SettingsError(
            f"DATABASE_URL: the schema is at {current}, this program needs {newest}: "
            "run `transactions migrate up`"
        )
    # In a process of its own: Alembic and SQLAlchemy would stay in our memory for good.
    done = run_command(
        [sys.executable, "-m", "cli.main", "migrate", "up"],
        check=interrupts.check,
        environment={"DATABASE_URL": database_url},
    )
    if done.returncode != 0:
        raise StartFailed(done.stderr.strip().rpartition("\n")[2].removeprefix("error: "))


async def _serve(
    settings: Settings, database_url: str, redis_url: str, embedded: EmbeddedServers, interrupts: Interrupts
) -> int:
    opening = open_service(settings, database_url=database_url, redis_url=redis_url)
    drain = Drain(
        interrupts,
        within_s=DrainTimes.within(settings.shutdown_grace_s).process_s,
        give_up=partial(_give_up, embedded.stop_at_once),
        tell=say,
    )

    async def announce(running: Running) -> None:
        await running.wait_listening()
        freeze()
        say(_announcement(settings, running.http.port, running.grpc.port))

    return _ended(await run_until_drained(opening, drain, (announce, print_tree_on_signal)))


async def _serve_by_workers(
    settings: Settings, database_url: str, redis_url: str, embedded: EmbeddedServers, interrupts: Interrupts
) -> int:
    parent = Parent(settings, database_url=database_url, redis_url=redis_url)

    def end_at_once() -> None:
        parent.kill()
        embedded.stop_at_once()

    async def announce(parent: Parent) -> None:
        http, grpc = (each[0].getsockname()[1] for each in (parent.http, parent.grpc))
        await parent.wait_ready()
        if not parent.root.stopping.is_set():
            say(_announcement(settings, http, grpc))

    async def print_trees(parent: Parent) -> None:
        await print_tree_on_signal(parent, then=partial(parent.forward, signal.SIGUSR1))

    interrupts.at_once = end_at_once
    drain = Drain(
        interrupts,
        within_s=DrainTimes.within(settings.shutdown_grace_s).workers_s,
        give_up=partial(_give_up, end_at_once),
        tell=say,
    )
    status = await run_until_drained(parent.listening(), drain, (announce, print_trees))
    return parent.failed or _ended(status)


def _ended(status: int | None) -> int:
    if status is None:  # asked before it ran
        raise Interrupted
    say("stopped")
    return status


def _announcement(settings: Settings, http_port: int, grpc_port: int) -> str:
    mail = (settings.smtp_url and "over SMTP") or f"to {settings.var_dir.absolute() / 'mail'}/*.eml"
    http_host = settings.http_server_address.rpartition(":")[0]
    grpc_host = settings.grpc_server_address.rpartition(":")[0]
    return (
        f"Transactions API\n"
        f"  HTTP   http://{http_host}:{http_port}\n"
        f"  gRPC   {grpc_host}:{grpc_port}\n"
        f"  mail   {mail}\n"
        f"  {HOW_TO_STOP}"
    )


def _give_up(end_at_once: Callable[[], None]) -> NoReturn:
    end_at_once()
    give_up()
