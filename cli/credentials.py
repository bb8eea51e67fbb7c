"""The users of a command that plays a customer and a banker: given to it, or made for it in the database."""

from __future__ import annotations

import argparse
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from application.appointments import regrant
from cli.database import database_url
from cli.settings import Settings, SettingsError
from cli.user import add_user
from domain.policy import Role
from persistence.pool import open_pool


@dataclass(frozen=True, slots=True)
class Credentials:
    """Two users: one who owns the accounts, one who may deposit."""

    depositor: str
    depositor_password: str = field(repr=False)
    banker: str
    banker_password: str = field(repr=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that name them."""
    parser.add_argument("--username", help="an existing verified depositor")
    parser.add_argument("--password")
    parser.add_argument("--banker", help="an existing banker")
    parser.add_argument("--banker-password")


def given(arguments: argparse.Namespace) -> Credentials | None:
    """What the options say; None without them. Raises SettingsError for some without the others."""
    words = [arguments.username, arguments.password, arguments.banker, arguments.banker_password]
    if all(words):
        return Credentials(*words)
    if any(words):
        raise SettingsError("--username, --password, --banker and --banker-password go together")
    return None


def database(given_url: str | None, settings: Settings) -> str:
    """Where users are made: `--database-url`, or else the settings' database. Raises SettingsError."""
    if given_url is None:
        return database_url(settings)
    if urlsplit(given_url).scheme not in ("postgresql", "postgres"):
        raise SettingsError("--database-url: must begin with postgresql://")
    return given_url


async def new_users(database: str, prefix: str) -> Credentials:
    """Two new users, named after the command."""
    password = secrets.token_urlsafe(16)
    depositor, banker = _random_name(prefix), _random_name(f"{prefix}_banker")
    for name, role in ((depositor, Role.DEPOSITOR), (banker, Role.BANKER)):
        await add_user(database, name, role, password)
    return Credentials(depositor, password, banker, password)


async def disable(database: str, credentials: Credentials) -> None:
    """Leave them without a role, so that nobody can log in as one of them."""
    roles = [role.value for role in Role]
    async with open_pool(database) as pool:
        for name in (credentials.depositor, credentials.banker):
            await regrant(pool, name, add=[], remove=roles)


def _random_name(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(4)}"
