"""The outbox keeps a mail until it is known to be sent: what is in the mail queue may be lost with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

TABLE, CHECK = "outbox", "outbox_sealed_check"
BEFORE, NOW = "The mail, encrypted; gone once relayed", "The mail, encrypted; gone once it is known to be sent"
SENT = "When it was known to be sent, or given up for good"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("sent_at", sa.DateTime(timezone=True), comment=SENT))
    op.drop_constraint(CHECK, TABLE)
    op.execute("update outbox set sent_at = relayed_at")
    op.create_check_constraint(op.f(CHECK), TABLE, "(sealed is null) = (sent_at is not null)")
    op.create_check_constraint(op.f("outbox_relayed_check"), TABLE, "sent_at is null or relayed_at is not null")
    op.alter_column(TABLE, "sealed", comment=NOW, existing_comment=BEFORE)
    op.create_index("outbox_unsent_idx", TABLE, ["id"], postgresql_where=sa.text("sent_at is null"))


def downgrade() -> None:
    op.drop_index("outbox_unsent_idx", TABLE)
    op.alter_column(TABLE, "sealed", comment=BEFORE, existing_comment=NOW)
    op.drop_constraint("outbox_relayed_check", TABLE)
    op.drop_constraint(CHECK, TABLE)
    op.drop_column(TABLE, "sent_at")
    op.execute("update outbox set sealed = null where relayed_at is not null")
    op.create_check_constraint(op.f(CHECK), TABLE, "(sealed is null) = (relayed_at is not null)")
