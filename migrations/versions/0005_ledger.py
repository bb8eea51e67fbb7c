"""Transfers and their entries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "transfers",
        sa.Column(
            "id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Unique, not in order of commit",
        ),
        sa.Column("from_account_id", sa.BigInteger(), nullable=False),
        sa.Column("from_seq", sa.BigInteger(), nullable=False, comment="Entry of the source"),
        sa.Column("to_account_id", sa.BigInteger(), nullable=False),
        sa.Column("to_seq", sa.BigInteger(), nullable=False, comment="Entry of the target"),
        sa.Column("amount", sa.BigInteger(), nullable=False, comment="Minor units"),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False, comment="Username of who asked for it"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'posted'"), nullable=False),
        sa.CheckConstraint("status = 'posted'", name=op.f("transfers_status_check")),
        sa.CheckConstraint("amount > 0", name=op.f("transfers_amount_check")),
        sa.CheckConstraint("from_account_id <> to_account_id", name=op.f("transfers_sides_check")),
        sa.CheckConstraint("from_seq > 0 and to_seq > 0", name=op.f("transfers_seq_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("transfers_pkey")),
        comment="Money moved; immutable",
    )
    op.create_table(
        "entries",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="1, 2, 3... without gaps within the account"),
        sa.Column("transfer_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False, comment="Minor units; negative where money left"),
        sa.Column("balance_after", sa.BigInteger(), nullable=False, comment="Minor units"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Never before the previous entry's",
        ),
        sa.CheckConstraint("amount <> 0", name=op.f("entries_amount_check")),
        sa.CheckConstraint("seq > 0", name=op.f("entries_seq_check")),
        sa.PrimaryKeyConstraint("account_id", "seq", name=op.f("entries_pkey")),
        comment="Both sides of every transfer, as their accounts saw it; immutable",
    )
    op.execute("create sequence transfer_id_blocks")


def downgrade() -> None:
    op.execute("drop sequence transfer_id_blocks")
    op.drop_table("entries")
    op.drop_table("transfers")
