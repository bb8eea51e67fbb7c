"""Auditors: a role that reads everything and moves nothing."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"

BEFORE = "Any of depositor, banker, admin"
NOW = "Any of depositor, banker, admin, auditor; who has none is disabled"


def _allow(roles: str) -> None:
    op.drop_constraint(op.f("users_roles_check"), "users")
    op.create_check_constraint(
        op.f("users_roles_check"),
        "users",
        f"roles <@ array[{roles}]::text[] and array_position(roles, null) is null",
    )


def upgrade() -> None:
    _allow("'depositor', 'banker', 'admin', 'auditor'")
    op.alter_column("users", "roles", comment=NOW, existing_comment=BEFORE)


def downgrade() -> None:
    op.execute("update users set roles = array_remove(roles, 'auditor') where 'auditor' = any(roles)")
    _allow("'depositor', 'banker', 'admin'")
    op.alter_column("users", "roles", comment=BEFORE, existing_comment=NOW)
