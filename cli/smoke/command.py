"""`transactions smoke URL`: whether a running service does its job, asked from outside after a roll-out."""

from __future__ import annotations

import argparse
import json
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from time import perf_counter

import trio

from cli import credentials
from cli.credentials import Credentials
from cli.settings import Settings, SettingsError
from cli.smoke.checks import Result, Smoke
from cli.smoke.http import HttpFailed, HttpTarget
from transport.client.address import join_address, parse_address
from transport.client.client import open_client

OK, FAILED = 0, 1
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where others listen
"""Addresses that one listens at, and does not ask."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "smoke",
        help="check a running service from outside, after a roll-out",
        description="Checks probes, logs in, opens two accounts, moves a little money over HTTP and over gRPC, "
        "compares, takes the money out again and logs out. Needs the database (DATABASE_URL, or the embedded one) "
        "to make two users, which are disabled afterwards; or --username and --banker with their passwords. "
        "Exit status 1: a check failed.",
    )
    parser.add_argument("url", metavar="URL", nargs="?", help="http://HOST:PORT or https://HOST:PORT")
    parser.add_argument(
        "--ready",
        action="store_true",
        help="ask for nothing but whether it can take work, in a container's health check; "
        "without URL: at HTTP_SERVER_ADDRESS, on this machine",
    )
    parser.add_argument("--grpc", help="HOST:PORT of gRPC (default: URL's host, port of GRPC_SERVER_ADDRESS)")
    parser.add_argument(
        "--grpc-tls",
        action=argparse.BooleanOptionalAction,
        help="whether gRPC is over TLS (default: where URL is https)",
    )
    parser.add_argument("--currency", help="default: the first of CURRENCIES")
    credentials.add_arguments(parser)
    parser.add_argument("--database-url", help="for users (default DATABASE_URL, or the embedded one)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for; `given` or else `database` says whose accounts are used."""

    http: HttpTarget
    grpc: str
    grpc_tls: bool
    currency: str
    given: Credentials | None
    database: str | None
    json: bool


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit status 0 or 1; raises SettingsError for bad usage."""
    if arguments.ready:
        url = arguments.url or _here(settings.http_server_address)
        return trio.run(_ready, _target(url), arguments.json)
    if arguments.url is None:
        raise SettingsError("URL: only --ready goes without one")
    return trio.run(_smoke, read(arguments, settings))


def read(arguments: argparse.Namespace, settings: Settings) -> Options:
    """Raises SettingsError."""
    http = _target(arguments.url)
    _, port = parse_address(settings.grpc_server_address)
    given = credentials.given(arguments)
    try:
        grpc = join_address(*parse_address(arguments.grpc)) if arguments.grpc else join_address(http.host, port)
    except ValueError as error:
        raise SettingsError(f"--grpc: {error}") from None
    return Options(
        http,
        grpc,
        http.tls if arguments.grpc_tls is None else arguments.grpc_tls,
        arguments.currency or settings.currencies[0],
        given,
        None if given else credentials.database(arguments.database_url, settings),
        arguments.json,
    )


def _target(url: str) -> HttpTarget:
    try:
        return HttpTarget(url)
    except ValueError as error:
        raise SettingsError(f"URL: {error}") from None


def _here(listening: str) -> str:
    """How a service that listens there is reached from its own machine."""
    host, port = parse_address(listening)
    return f"http://{join_address(EVERYWHERE.get(host, host), port)}"


async def _ready(http: HttpTarget, as_json: bool) -> int:
    began, problem = perf_counter(), ""
    try:
        answer = await http.request("GET", "/readyz")
        if answer.status != 200:
            problem = f"GET /readyz: {answer.status}"
    except HttpFailed as failure:
        problem = str(failure)
    if as_json:
        result = Result("readyz", round((perf_counter() - began) * 1000, 1), problem)
        print(json.dumps({"ok": not problem, "checks": [asdict(result)]}))
    elif problem:
        print(f"error: {problem}", file=sys.stderr)
    return FAILED if problem else OK


async def _smoke(asked: Options) -> int:
    results: list[Result] = []

    def report(result: Result) -> None:
        results.append(result)
        if not asked.json:
            mark = "FAILED" if result.problem else "ok"
            problem = f": {result.problem}" if result.problem else ""
            print(f"{mark:6} {result.ms:9,.1f} ms  {result.name}{problem}", flush=True)

    async with _users(asked) as users:
        well = await _checked(asked, users, report)
    if asked.json:
        print(json.dumps({"ok": well, "checks": [asdict(result) for result in results]}))
    elif not well:
        print("error: the service does not do its job", file=sys.stderr)
    return OK if well else FAILED


async def _checked(asked: Options, users: Credentials, report: Callable[[Result], None]) -> bool:
    context = ssl.create_default_context() if asked.grpc_tls else None
    async with (
        open_client(asked.grpc, ssl_context=context) as customer,
        open_client(asked.grpc, ssl_context=context) as banker,
    ):
        return await Smoke(asked.http, customer, banker, users, asked.currency).run(report)


@asynccontextmanager
async def _users(asked: Options) -> AsyncIterator[Credentials]:
    """The users that were given, or new ones that are disabled after the block."""
    if asked.given is not None:
        yield asked.given
        return
    assert asked.database is not None
    users = await credentials.new_users(asked.database, "smoke")
    try:
        yield users
    finally:
        with trio.CancelScope(shield=True):
            await credentials.disable(asked.database, users)
