"""Mail to send, committed with what it is about."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="verify_email"),
        sa.Column("sealed", sa.LargeBinary(), nullable=True, comment="The mail, encrypted; gone once relayed"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "relayed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was handed to the mail queue",
        ),
        sa.CheckConstraint("(sealed is null) = (relayed_at is not null)", name=op.f("outbox_sealed_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
        comment="Mail to send, committed together with what it is about",
    )
    op.create_index(
        "outbox_waiting_idx", "outbox", ["id"], unique=False, postgresql_where=sa.text("relayed_at IS NULL")
    )


def downgrade() -> None:
    op.drop_table("outbox")
