"""When a session was last used; and the sessions that ended lately, found without looking at all of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

HASH_BEFORE = "SHA-256; the token itself is nowhere"
HASH_NOW = "SHA-256 of the newest; it is nowhere itself"
END_NOW = "The end that renewal does not move"


def upgrade() -> None:
    op.add_column(
        "sessions",
        sa.Column(
            "last_used_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Login or newest renewal",
        ),
    )
    op.execute("update sessions set last_used_at = created_at")
    op.alter_column("sessions", "refresh_token_hash", comment=HASH_NOW, existing_comment=HASH_BEFORE)
    op.alter_column("sessions", "expires_at", comment=END_NOW)
    op.create_index(
        "sessions_ended_at_idx",
        "sessions",
        ["ended_at"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("sessions_ended_at_idx", table_name="sessions")
    op.alter_column("sessions", "expires_at", comment=None, existing_comment=END_NOW)
    op.alter_column("sessions", "refresh_token_hash", comment=HASH_BEFORE, existing_comment=HASH_NOW)
    op.drop_column("sessions", "last_used_at")
