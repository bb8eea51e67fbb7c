"""Links mailed to choose a new password."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "password_resets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False, comment="The address it was mailed to"),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the code in the mail"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("expires_at > created_at", name=op.f("password_resets_expires_at_check")),
        sa.ForeignKeyConstraint(["username"], ["users.username"], name=op.f("password_resets_username_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("password_resets_pkey")),
        comment="Links mailed to choose a new password",
    )
    op.create_index(op.f("password_resets_username_idx"), "password_resets", ["username"], unique=False)
    op.alter_column("outbox", "kind", comment="What the mail is for", existing_comment="verify_email")


def downgrade() -> None:
    op.alter_column("outbox", "kind", comment="verify_email", existing_comment="What the mail is for")
    op.drop_table("password_resets")
