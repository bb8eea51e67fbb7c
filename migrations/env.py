"""Alembic's entry: runs the versions on one connection, one service at a time.

The connection comes from `migrations.run`; a session-level advisory lock makes a second service that starts
at the same moment wait until the first has migrated.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from persistence.tables import metadata

LOCK_KEY = 0x7472616E73616374  # "transact"

connection = context.config.attributes["connection"]
connection.execute(text("select pg_advisory_lock(:key)"), {"key": LOCK_KEY})
connection.commit()
try:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
finally:
    connection.rollback()
    connection.execute(text("select pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
    connection.commit()
