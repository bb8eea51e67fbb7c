"""The schema's versions, and the means to move between them (`migrations.run`)."""

from __future__ import annotations

from pathlib import Path


def newest_version() -> str:
    """The version this program needs, read off the file names: needs no Alembic."""
    versions = Path(__file__).parent / "versions"
    return max(path.name.partition("_")[0] for path in versions.glob("[0-9]*.py"))
