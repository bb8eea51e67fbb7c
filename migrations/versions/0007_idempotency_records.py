"""What became of requests that came with an idempotency key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "idempotency_records",
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column(
            "fingerprint",
            sa.LargeBinary(),
            nullable=False,
            comment="Hash of the request the key was used for",
        ),
        sa.Column("refusal", sa.Text(), nullable=True, comment="The code of a refused request"),
        sa.Column("transfer_id", sa.BigInteger(), nullable=True, comment="The transfer that was made"),
        sa.Column("account_id", sa.BigInteger(), nullable=True, comment="The account that was opened"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(key) between 1 and 255", name=op.f("idempotency_records_key_check")),
        sa.CheckConstraint(
            "num_nonnulls(refusal, transfer_id, account_id) = 1",
            name=op.f("idempotency_records_outcome_check"),
        ),
        sa.PrimaryKeyConstraint("username", "key", name=op.f("idempotency_records_pkey")),
        comment="What became of requests that came with an idempotency key, for a day",
    )
    op.create_index(
        "idempotency_records_created_at_idx",
        "idempotency_records",
        ["created_at"],
        unique=False,
        postgresql_using="brin",
    )


def downgrade() -> None:
    op.drop_table("idempotency_records")
