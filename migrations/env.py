"""Alembic's entry: runs the versions on one connection, one service at a time.

The connection comes from `migrations.run`; a session-level advisory lock makes a second service that starts
at the same moment wait until the first has migrated.

A version waits for a lock no longer than LOCK_TIMEOUT_S, because everybody who comes after it to that table waits
behind it; `migrations.run` tries it again. https://www.postgresql.org/docs/current/explicit-locking.html
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from migrations.run import LOCK_TIMEOUT_S
from persistence.tables import metadata

LOCK_KEY = 0x7472616E73616374  # "transact"

connection = context.config.attributes["connection"]
connection.execute(text("select pg_advisory_lock(:key)"), {"key": LOCK_KEY})
connection.execute(text(f"set lock_timeout = {LOCK_TIMEOUT_S * 1000:.0f}"))
connection.commit()
try:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
finally:
    connection.rollback()
    connection.execute(text("select pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
    connection.commit()
