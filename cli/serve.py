"""`transactions serve`: run the service in the foreground until it is told to stop."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import resource
import signal
import sys
import threading
from contextlib import ExitStack, suppress
from functools import partial
from types import TracebackType

import trio

from actors.restarts import RestartIntensityExceeded
from actors.supervisor import Supervisor, print_tree
from cli.drain import DrainTimes
from cli.settings import Settings, SettingsError, StartFailed, make_folder
from cli.wiring import Running, open_service
from infra.local.interrupts import Interrupted, Interrupts
from infra.local.launcher import EmbeddedServers
from infra.local.process import run as run_command
from infra.local.terminal import own_terminal_signals
from migrations import newest_version
from persistence.faults import DatabaseFault
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
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # there is no tree to print yet
    _allow_connections()
    _check_urls(arguments, settings)
    if arguments.embedded or settings.smtp_url is None:
        make_folder(settings.var_dir)
    times = DrainTimes.within(settings.shutdown_grace_s)
    embedded = EmbeddedServers(settings.var_dir, stop_s=times.embedded_s / 2)
    with own_terminal_signals(), Interrupts(embedded.stop_at_once) as interrupts, ExitStack() as stack:
        if arguments.embedded:
            stack.enter_context(embedded)
        try:
            return _run(arguments, settings, embedded, interrupts)
        except Interrupted:
            _say("stopped")
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
    database_url = settings.database_url or embedded.start_postgres(interrupts.check)
    _check_schema(database_url, interrupts, migrate=arguments.embedded)
    interrupts.check()
    return trio.run(partial(_serve, settings, database_url, redis_url, embedded, interrupts))


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
    if current == newest:
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
    status = None
    with _Drain(interrupts, settings, embedded) as drain:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.when_asked, nursery.cancel_scope)
            async with open_service(settings, database_url=database_url, redis_url=redis_url) as running:
                drain.running = running
                nursery.start_soon(drain.when_it_gives_up)
                nursery.start_soon(_announce, running, settings)
                nursery.start_soon(_print_tree_on_signal, running)
                status = await _status_of(running.root)
            nursery.cancel_scope.cancel()
    if status is None:  # asked before it ran
        raise Interrupted
    _say("stopped")
    return status


async def _status_of(root: Supervisor) -> int:
    try:
        await root.run()
    except RestartIntensityExceeded:
        log.exception("the service gave up")
        return 1
    return 0


class _Drain:
    """Begun by a signal or by a service that gives up, and ended in time by a watchdog."""

    def __init__(self, interrupts: Interrupts, settings: Settings, embedded: EmbeddedServers) -> None:
        self.running: Running | None = None
        self._interrupts = interrupts
        self._times = DrainTimes.within(settings.shutdown_grace_s)
        self._watchdog = threading.Timer(self._times.process_s, _give_up, [embedded])
        self._watchdog.daemon = True

    def __enter__(self) -> _Drain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.cancel()
        if self._watchdog.ident is not None:
            self._watchdog.join()  # one that has begun to give up ends the process
        self._interrupts.notify(lambda: None)

    async def when_asked(self, everything: trio.CancelScope) -> None:
        asked, token = trio.Event(), trio.lowlevel.current_trio_token()
        self._interrupts.notify(lambda: token.run_sync_soon(asked.set))
        await asked.wait()
        self._begin()
        if self.running is None:
            everything.cancel()
            return
        _say("draining")
        self.running.announce_drain()
        await trio.sleep(self._times.listen_s)
        self.running.root.stop()

    async def when_it_gives_up(self) -> None:
        assert self.running is not None
        await self.running.root.stopping.wait()
        self._begin()
        self.running.announce_drain()

    def _begin(self) -> None:
        if self._watchdog.ident is None:
            self._watchdog.start()


async def _announce(running: Running, settings: Settings) -> None:
    await running.http.listening.wait()
    await running.grpc.listening.wait()
    gc.collect()
    gc.freeze()  # what start-up made stays; the collector need not look at it again
    mail = (settings.smtp_url and "over SMTP") or f"to {settings.var_dir.absolute() / 'mail'}/*.eml"
    http_host = settings.http_server_address.rpartition(":")[0]
    grpc_host = settings.grpc_server_address.rpartition(":")[0]
    _say(
        f"Transactions API\n"
        f"  HTTP   http://{http_host}:{running.http.port}\n"
        f"  gRPC   {grpc_host}:{running.grpc.port}\n"
        f"  mail   {mail}\n"
        f"  {HOW_TO_STOP}"
    )


def _say(text: str) -> None:
    with suppress(OSError):  # the terminal may be gone: that is no reason not to end well
        print(text, flush=True)


def _give_up(embedded: EmbeddedServers) -> None:
    embedded.stop_at_once()
    with suppress(OSError):
        print("error: not drained within SHUTDOWN_GRACE", file=sys.stderr, flush=True)
    os._exit(1)


async def _print_tree_on_signal(running: Running) -> None:
    with trio.open_signal_receiver(signal.SIGUSR1) as signals:
        async for _ in signals:
            print("\n".join(print_tree(running.root.statistics())), file=sys.stderr, flush=True)
