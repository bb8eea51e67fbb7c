"""Links mailed to verify an address."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "email_verifications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False, comment="The address that was asked about"),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the code in the mail"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("expires_at > created_at", name=op.f("email_verifications_expires_at_check")),
        sa.ForeignKeyConstraint(
            ["username"], ["users.username"], name=op.f("email_verifications_username_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("email_verifications_pkey")),
        comment="Links mailed to prove that an address can be read by its user",
    )
    op.create_index(op.f("email_verifications_username_idx"), "email_verifications", ["username"], unique=False)


def downgrade() -> None:
    op.drop_table("email_verifications")
