"""Sessions: logins that may be renewed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column(
            "refresh_token_hash",
            sa.LargeBinary(),
            nullable=False,
            comment="SHA-256; the token itself is nowhere",
        ),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("client_address", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "ended_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Set when the session was ended before its time",
        ),
        sa.CheckConstraint("expires_at > created_at", name=op.f("sessions_expires_at_check")),
        sa.ForeignKeyConstraint(["username"], ["users.username"], name=op.f("sessions_username_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("sessions_pkey")),
        sa.UniqueConstraint("refresh_token_hash", name=op.f("sessions_refresh_token_hash_key")),
        comment="Logins that may be renewed until they expire or are ended",
    )
    op.create_index(op.f("sessions_username_idx"), "sessions", ["username"], unique=False)


def downgrade() -> None:
    op.drop_table("sessions")
