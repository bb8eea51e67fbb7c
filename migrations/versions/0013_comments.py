"""Comments for those who read the schema without the code."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"

IDS_BEFORE = "Unique, not in order of commit"
IDS_NOW = "From a block that transfer_id_blocks handed out: unique, not in order of commit"
ADDED = {
    ("users", "is_email_verified"): "Of the present address; another one has to be verified anew",
    ("sessions", "id"): "Named in the session's tokens",
    ("sessions", "user_agent"): "At login or newest renewal",
    ("sessions", "client_address"): "At login or newest renewal",
    ("email_verifications", "used_at"): "When the link was followed; it is good once",
    ("password_resets", "used_at"): "When the link was used, or became void with another password",
    ("accounts", "name"): "What the owner calls it",
    ("transfers", "currency"): "That of both accounts",
    ("transfers", "created_at"): "That of both entries; read after their accounts were locked",
    ("idempotency_records", "username"): "Whose key it is",
    ("idempotency_records", "key"): "Chosen by the client",
}


def upgrade() -> None:
    op.alter_column("transfers", "id", comment=IDS_NOW, existing_comment=IDS_BEFORE)
    for (table, column), comment in ADDED.items():
        op.alter_column(table, column, comment=comment)


def downgrade() -> None:
    for (table, column), comment in ADDED.items():
        op.alter_column(table, column, comment=None, existing_comment=comment)
    op.alter_column("transfers", "id", comment=IDS_BEFORE, existing_comment=IDS_NOW)
