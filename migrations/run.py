"""Moves a database's schema up or down. Synchronous: runs before the service starts, or on its own.

Every function raises DatabaseFault where the database refuses, or cannot be reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.engine import make_url

from persistence.faults import DatabaseFault
from persistence.tables import metadata


def up(database_url: str, revision: str = "head") -> None:
    """Apply every version up to `revision`."""
    with _connected(database_url) as connection:
        command.upgrade(_config(connection), revision)


def down(database_url: str, revision: str = "-1") -> None:
    """Take back versions down to `revision`; `-1` is the newest one, `base` all of them."""
    with _connected(database_url) as connection:
        command.downgrade(_config(connection), revision)


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
