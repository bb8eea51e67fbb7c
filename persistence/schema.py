"""Which version the database's schema is at, without the weight of the tools that change it."""

from __future__ import annotations

from persistence.pool import open_pool

IS_VERSIONED = "select to_regclass('alembic_version') is not null"
CURRENT_VERSION = "select version_num from alembic_version"


async def schema_version(database_url: str) -> str | None:
    """The version, or None for a database that has none. Raises DatabaseUnavailable."""
    async with open_pool(database_url) as pool, pool.connection() as connection:
        cursor = await connection.execute(IS_VERSIONED)
        if await cursor.fetchone() != (True,):
            return None
        cursor = await connection.execute(CURRENT_VERSION)
        row = await cursor.fetchone()
    return None if row is None else str(row[0])
