"""Accounts, with one settlement account per currency."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True, comment="Null for the bank's settlement accounts"),
        sa.Column("name", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False, comment="ISO 4217"),
        sa.Column(
            "kind",
            sa.Text(),
            server_default=sa.text("'customer'"),
            nullable=False,
            comment="customer or settlement",
        ),
        sa.Column(
            "balance",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Minor units; sum of entries",
        ),
        sa.Column(
            "overdraft_limit",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Minor units",
        ),
        sa.Column(
            "status",
            sa.Text(),
            server_default=sa.text("'active'"),
            nullable=False,
            comment="active, frozen or closed",
        ),
        sa.Column(
            "seq",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Number of the newest entry",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Time of the newest entry",
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("accounts_currency_check")),
        sa.CheckConstraint(
            "kind = 'settlement' or balance >= -overdraft_limit", name=op.f("accounts_balance_check")
        ),
        sa.CheckConstraint(
            "kind in ('customer', 'settlement') and (kind = 'settlement') = (owner is null)",
            name=op.f("accounts_kind_check"),
        ),
        sa.CheckConstraint("status in ('active', 'frozen', 'closed')", name=op.f("accounts_status_check")),
        sa.CheckConstraint("overdraft_limit >= 0", name=op.f("accounts_overdraft_limit_check")),
        sa.CheckConstraint("seq >= 0", name=op.f("accounts_seq_check")),
        sa.ForeignKeyConstraint(["owner"], ["users.username"], name=op.f("accounts_owner_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("accounts_pkey")),
        comment="Accounts with their current balance; undeletable",
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(op.f("accounts_owner_idx"), "accounts", ["owner"], unique=False)
    op.create_index(
        "accounts_settlement_key",
        "accounts",
        ["currency"],
        unique=True,
        postgresql_where=sa.text("kind = 'settlement'"),
    )


def downgrade() -> None:
    op.drop_table("accounts")
