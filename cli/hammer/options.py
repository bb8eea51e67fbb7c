"""The options of `transactions hammer`, checked before anything starts: what is wrong is a SettingsError."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

from cli import credentials
from cli.credentials import Credentials
from cli.hammer.plan import Plan, PlanError
from cli.settings import Settings, SettingsError
from transport.client.address import parse_address

ACCOUNTS_MAX = 100_000
CONNECTIONS_MAX = 4_096
CHANNELS_MAX = 64
SECONDS_MAX = 600.0
AMOUNT_MAX = 10**9

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for; `plan` or else `credentials` or else `database` says whose accounts are used."""

    protocol: str
    http: Address
    grpc: Address
    connections: int
    channels: int | None
    seconds: float
    accounts: int
    hot: bool
    amount: int
    currency: str
    keys: str | None
    plan: Plan | None
    save_plan: Path | None
    credentials: Credentials | None
    database: str | None
    audit: bool
    json: bool

    @property
    def address(self) -> Address:
        """Where the load goes."""
        return self.http if self.protocol == "http" else self.grpc

    def adapted(self, plan: Plan) -> Plan:
        """The plan with this run's amount and keys; a plan that is hot stays so."""
        return replace(plan, hot=plan.hot or self.hot, amount=self.amount, keys=self.keys)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All options."""
    parser.add_argument("--protocol", choices=["http", "grpc"], default="http")
    parser.add_argument("--url", help="base of the HTTP API (default HTTP_SERVER_ADDRESS)")
    parser.add_argument("--grpc", help="HOST:PORT of gRPC (default GRPC_SERVER_ADDRESS)")
    parser.add_argument("--hot", action="store_true", help="every transfer leaves the same account")
    parser.add_argument(
        "--accounts", type=_whole(2, ACCOUNTS_MAX), default=100, help="accounts to open (default 100)"
    )
    parser.add_argument(
        "--connections", type=_whole(1, CONNECTIONS_MAX), default=64, help="requests in flight (default 64)"
    )
    parser.add_argument(
        "--channels",
        type=_whole(1, CHANNELS_MAX),
        help="gRPC: connections that the calls in flight share (default: one for every 100)",
    )
    parser.add_argument("--seconds", type=_seconds, default=10.0, help="at most 600 (default 10)")
    parser.add_argument(
        "--amount", type=_whole(1, AMOUNT_MAX), default=1, help="minor units a transfer (default 1)"
    )
    parser.add_argument("--currency", help="default: the first of CURRENCIES")
    parser.add_argument("--idempotency", action="store_true", help="send a key with every transfer")
    credentials.add_arguments(parser)
    parser.add_argument(
        "--database-url", help="for users and audit (default DATABASE_URL, or the embedded one)"
    )
    parser.add_argument("--plan", type=Path, help="accounts and token that --save-plan wrote")
    parser.add_argument("--save-plan", type=Path, help="prepare, write the plan, and do nothing else")
    parser.add_argument("--no-audit", action="store_true", help="leave the ledger unaudited")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def read(arguments: argparse.Namespace, settings: Settings) -> Options:
    """Raises SettingsError."""
    if arguments.plan and arguments.save_plan:
        raise SettingsError("--save-plan: there is nothing to prepare with --plan")
    users = credentials.given(arguments)
    audit = not arguments.no_audit and not arguments.save_plan
    makes_users = not arguments.plan and users is None
    return Options(
        protocol=arguments.protocol,
        http=_http_address(arguments.url or f"http://{settings.http_server_address}"),
        grpc=_grpc_address(arguments.grpc or settings.grpc_server_address),
        connections=arguments.connections,
        channels=min(arguments.channels, arguments.connections) if arguments.channels else None,
        seconds=arguments.seconds,
        accounts=arguments.accounts,
        hot=arguments.hot,
        amount=arguments.amount,
        currency=arguments.currency or settings.currencies[0],
        keys=token_hex(6) if arguments.idempotency else None,
        plan=_plan(arguments.plan) if arguments.plan else None,
        save_plan=arguments.save_plan,
        credentials=users,
        database=credentials.database(arguments.database_url, settings) if audit or makes_users else None,
        audit=audit,
        json=arguments.json,
    )


def _plan(path: Path) -> Plan:
    try:
        return Plan.read(path)
    except PlanError as error:
        raise SettingsError(f"--plan: {error}") from None


def _http_address(url: str) -> Address:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError(f"--url: must be http://HOST:PORT, not {url!r}") from None
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
        raise SettingsError(f"--url: must be http://HOST:PORT, not {url!r}")
    return parts.hostname, 80 if port is None else port


def _grpc_address(address: str) -> Address:
    try:
        return parse_address(address)
    except ValueError as error:
        raise SettingsError(f"--grpc: {error}") from None


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"must be more than 0 and at most {SECONDS_MAX:g}")
    return value
