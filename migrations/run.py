"""Moves a database's schema up or down. Synchronous: runs before the service starts, or on its own.

Every function raises DatabaseFault where the database refuses, or cannot be reached.

Each version is a transaction. One that did not get a lock in time (`env.py` says how long it waits) is over, and is
tried again after a pause, in which everybody who waited behind it goes on; the versions before it stay.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from psycopg.errors import LockNotAvailable
from sqlalchemy.engine import make_url

from persistence.faults import DatabaseFault
from persistence.tables import metadata

LOCK_TIMEOUT_S = 0.5
"""Half of PostgreSQL's own `deadlock_timeout`, so that where a version and a transfer wait for each other, the version
is over before PostgreSQL chooses whom to end."""
ATTEMPTS_MAX = 30
PAUSE_S = 1.0
"""Longer than anybody who waited behind a version needs to be through."""


def up(database_url: str, revision: str = "head", *, attempts_max: int = ATTEMPTS_MAX) -> None:
    """Apply every version up to `revision`."""
    _move(database_url, lambda config: command.upgrade(config, revision), attempts_max)


def down(database_url: str, revision: str = "-1", *, attempts_max: int = ATTEMPTS_MAX) -> None:
    """Take back versions down to `revision`; `-1` is the newest one, `base` all of them."""
    _move(database_url, lambda config: command.downgrade(config, revision), attempts_max)


def _move(database_url: str, step: Callable[[Config], None], attempts_max: int) -> None:
    # May be repeated: `-1` is one version, which is not taken back then, and all others say where they end.
    for attempt in range(1, attempts_max + 1):
        if _moved(database_url, step):
            return
        if attempt < attempts_max:
            time.sleep(PAUSE_S)
    raise DatabaseFault(
        f"the schema is in use: a version did not get its lock in {attempts_max} attempts; nothing of it is done"
    )


def _moved(database_url: str, step: Callable[[Config], None]) -> bool:
    """Whether every version got its locks."""
    with _connected(database_url) as connection:
        try:
            step(_config(connection))
        except sa.exc.OperationalError as error:
            if isinstance(error.orig, LockNotAvailable):
                return False
            raise
    return True


def status(database_url: str) -> tuple[str | None, str]:
    """The database's version (None: none yet) and the newest one there is."""
    head = ScriptDirectory.from_config(_config(None)).get_current_head()
    assert head is not None
    with _connected(database_url) as connection:
        return MigrationContext.configure(connection).get_current_revision(), head


def differences(database_url: str) -> list[object]:
    """How the migrated database differs from `persistence.tables`; empty when it does not."""
    with _connected(database_url) as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, metadata))


def _config(connection: sa.Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _connected(database_url: str) -> Iterator[sa.Connection]:
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.DBAPIError as error:
        raise DatabaseFault(str(error.orig)) from error
    except CommandError as error:  # a version that is not ours, or none to take back
        raise DatabaseFault(f"the schema can not be moved: {error}") from error
    finally:
        engine.dispose()
