"""What happened to users' identities. Rows are never changed or deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "security_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="login, login_failed, refresh_reused, roles_changed..."
        ),
        sa.Column(
            "username",
            sa.Text(),
            nullable=True,
            comment="Whom it happened to; null where nobody has the name that was tried",
        ),
        sa.Column("actor", sa.Text(), nullable=True, comment="Who did it; null where nobody was logged in"),
        sa.Column("client_address", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("user_agent", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "detail",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="Never a token or a password",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("security_events_pkey")),
        comment="What happened to users' identities; append-only",
    )
    op.create_index("security_events_username_idx", "security_events", ["username", "id"], unique=False)
    op.create_index(
        "security_events_known_idx",
        "security_events",
        ["username", "client_address"],
        unique=False,
        postgresql_where=sa.text("kind IN ('login', 'email_verified', 'password_changed')"),
    )
    op.execute(
        "create trigger security_events_immutable before update or delete or truncate on security_events "
        "for each statement execute function refuse_change()"
    )


def downgrade() -> None:
    op.drop_table("security_events")
