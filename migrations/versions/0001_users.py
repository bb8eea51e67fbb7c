"""Users, each with several roles."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("username", sa.Text(), nullable=False, comment="What a person logs in with; never changes"),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False, comment="As typed; unique without regard to case"),
        sa.Column("is_email_verified", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "password_hash", sa.Text(), nullable=False, comment="argon2id, in its own self-describing format"
        ),
        sa.Column(
            "roles",
            sa.ARRAY(sa.Text()),
            server_default=sa.text("'{depositor}'"),
            nullable=False,
            comment="Any of depositor, banker, admin",
        ),
        sa.Column(
            "password_changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "roles <@ array['depositor', 'banker', 'admin']::text[] and array_position(roles, null) is null",
            name=op.f("users_roles_check"),
        ),
        sa.CheckConstraint("username ~ '^[a-z0-9_]{3,32}$'", name=op.f("users_username_check")),
        sa.PrimaryKeyConstraint("username", name=op.f("users_pkey")),
        comment="Everybody who can log in",
    )
    op.create_index("users_email_key", "users", [sa.literal_column("lower(email)")], unique=True)


def downgrade() -> None:
    op.drop_table("users")
