"""Which database a command means: DATABASE_URL, or the embedded one while it runs."""

from __future__ import annotations

from cli.settings import Settings, SettingsError
from infra.local.launcher import DATABASE
from infra.local.postgres import LocalPostgres
from infra.local.redis import LocalRedis


def database_url(settings: Settings) -> str:
    """Raises SettingsError when there is none."""
    if settings.database_url is not None:
        return settings.database_url
    server = LocalPostgres(settings.var_dir / "postgres")
    if not server.running:
        raise SettingsError(
            "DATABASE_URL: not set, and no embedded PostgreSQL runs (make server, or make postgres)"
        )
    return server.url(DATABASE)


def redis_url(settings: Settings) -> str:
    """Raises SettingsError when there is none."""
    if settings.redis_url is not None:
        return settings.redis_url
    server = LocalRedis(settings.var_dir / "redis")
    if not server.running:
        raise SettingsError("REDIS_URL: not set, and no embedded Redis runs (make server, or make redis)")
    return server.url
