"""`transactions hammer`: load on a running service, and the proof that nothing was lost by it.

The first SIGINT or SIGTERM ends the load, whose report and audit still follow; the second ends everything.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys

import trio
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from cli.audit import audited, show
from cli.credentials import new_users
from cli.hammer import options, report
from cli.hammer.http_client import HttpFailed
from cli.hammer.load import run_load
from cli.hammer.options import Options
from cli.hammer.plan import Plan
from cli.hammer.prepare import PreparationFailed, prepare_over_grpc, prepare_over_http
from cli.hammer.tally import Tally
from cli.settings import Settings
from persistence.audit import Audit
from persistence.faults import DatabaseFault
from transport.client.failures import CallFailed

OK, FAILED = 0, 1
PROGRESS_EVERY_S = 0.25


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "hammer",
        help="load on a running service, then an audit of its ledger",
        description="Opens and funds accounts through the service, transfers between them from many "
        "connections, and audits the ledger. Needs the database (DATABASE_URL, or the embedded one) to make "
        "its users and for the audit; or --username and --banker with their passwords, and --no-audit. "
        "Exit status 1: a transfer was lost (no answer, or 5xx), none was made, or the audit found something.",
    )
    options.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit status 0 or 1; raises SettingsError for bad usage."""
    return trio.run(_hammer, options.read(arguments, settings))


async def _hammer(asked: Options) -> int:
    stop, preparation, status = trio.Event(), trio.CancelScope(), FAILED
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch_signals, stop, preparation, nursery.cancel_scope)
        try:
            status = await _prepare_and_load(asked, stop, preparation)
        except (HttpFailed, CallFailed, PreparationFailed, DatabaseFault, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
        nursery.cancel_scope.cancel()
    return status


async def _watch_signals(stop: trio.Event, preparation: trio.CancelScope, everything: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            if stop.is_set():
                everything.cancel()
            stop.set()
            preparation.cancel()


async def _prepare_and_load(asked: Options, stop: trio.Event, preparation: trio.CancelScope) -> int:
    plan = None
    with preparation:
        plan = asked.adapted(asked.plan or await _prepared(asked))
    if plan is None:
        print("error: ended before the load began", file=sys.stderr)
        return FAILED
    if asked.save_plan:
        plan.write(asked.save_plan)
        return OK
    console = Console(stderr=asked.json)
    tally = Tally()
    await _load(asked, plan, tally, stop, console)
    return await _report(asked, plan, tally, console)


async def _prepared(asked: Options) -> Plan:
    users = asked.credentials or await new_users(asked.database or "", "hammer")
    prepare = prepare_over_http if asked.protocol == "http" else prepare_over_grpc
    return await prepare(*asked.address, users, accounts=asked.accounts, hot=asked.hot, currency=asked.currency)


async def _load(asked: Options, plan: Plan, tally: Tally, stop: trio.Event, console: Console) -> None:
    host, port = asked.address
    failure: CallFailed | OSError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_show_progress, asked.seconds, tally, console)
        try:
            await run_load(
                plan,
                protocol=asked.protocol,
                host=host,
                port=port,
                connections=asked.connections,
                channels=asked.channels,
                seconds=asked.seconds,
                tally=tally,
                stop=stop,
            )
        except (CallFailed, OSError) as error:
            failure = error  # raised below, as a nursery would wrap it
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _show_progress(seconds: float, tally: Tally, console: Console) -> None:
    columns = (BarColumn(), TextColumn("{task.fields[rate]:,.0f} transfers/s"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=seconds, rate=0.0)
        while True:
            progress.update(task, completed=tally.seconds, rate=tally.rate)
            await trio.sleep(PROGRESS_EVERY_S)


async def _report(asked: Options, plan: Plan, tally: Tally, console: Console) -> int:
    audit, broken = await _audit(asked)
    clean = audit.clean if audit is not None else False if broken else None
    result = report.summary(
        tally, protocol=asked.protocol, hot=plan.hot, connections=asked.connections, audit_clean=clean
    )
    if asked.json:
        print(json.dumps(result))
    else:
        console.print(report.table(result))
        if audit is not None:
            show(audit, console)
    if broken:
        print(f"error: the audit was not made: {broken}", file=sys.stderr)
    return FAILED if report.failed(tally) or clean is False else OK


async def _audit(asked: Options) -> tuple[Audit | None, str | None]:
    """The audit where one is wanted, and why it could not be made: the load's report is owed all the same."""
    if not asked.audit:
        return None, None
    try:
        return await audited(asked.database or ""), None
    except DatabaseFault as error:
        return None, str(error)
