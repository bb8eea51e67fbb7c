"""`transactions user`: users made and given roles by whoever may reach the database."""

from __future__ import annotations

import argparse
import getpass
import json
import sys

import trio

from application.appointments import appoint, regrant
from application.passwords import Passwords
from cli.database import database_url
from cli.settings import Settings, SettingsError
from domain.errors import AlreadyExists, InvalidArgument, NotFound
from domain.policy import Role
from persistence.pool import open_pool


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("user", help="create a user, grant or revoke a role")
    parser.add_argument("action", choices=["create", "grant", "revoke"])
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("role", metavar="ROLE", choices=[role.value for role in Role])
    parser.add_argument(
        "--email", help="create: the address, taken as verified (default NAME@localhost.localdomain)"
    )
    parser.add_argument("--full-name", help="create: default NAME")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """The password of a new user is asked for, or read as the first line of standard input."""
    if arguments.action != "create" and (arguments.email or arguments.full_name):
        raise SettingsError("--email, --full-name: go with create only")
    url = database_url(settings)
    try:
        if arguments.action == "create":
            return trio.run(_create, arguments, url, _password())
        return trio.run(_change_role, arguments, url)
    except InvalidArgument as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 2


def _password() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("password: ")
    return sys.stdin.readline().rstrip("\n")


async def _create(arguments: argparse.Namespace, url: str, password: str) -> int:
    try:
        await add_user(
            url,
            arguments.name,
            arguments.role,
            password,
            email=arguments.email,
            full_name=arguments.full_name,
        )
    except AlreadyExists as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    _tell(arguments, [arguments.role], f"{arguments.name} created: {arguments.role}")
    return 0


async def add_user(
    url: str, name: str, role: str, password: str, *, email: str | None = None, full_name: str | None = None
) -> None:
    """A verified user with one role. Raises InvalidArgument, AlreadyExists."""
    async with open_pool(url) as pool:
        await appoint(pool, Passwords(), name, role, password, email=email, full_name=full_name)


async def _change_role(arguments: argparse.Namespace, url: str) -> int:
    granted = arguments.action == "grant"
    add, remove = ([arguments.role], []) if granted else ([], [arguments.role])
    try:
        async with open_pool(url) as pool:
            user = await regrant(pool, arguments.name, add=add, remove=remove)
    except NotFound:
        print(f"error: there is no user {arguments.name}", file=sys.stderr)
        return 1
    _tell(arguments, list(user.roles), f"{user.username}: {', '.join(user.roles) or 'no role'}")
    return 0


def _tell(arguments: argparse.Namespace, roles: list[str], line: str) -> None:
    print(json.dumps({"username": arguments.name, "roles": roles}) if arguments.json else line)
