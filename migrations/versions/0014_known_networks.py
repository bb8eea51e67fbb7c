"""Where users have been is compared by network, and only what they did themselves tells of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

INDEX, TABLE = "security_events_known_idx", "security_events"
KINDS = "kind IN ('login', 'email_verified', 'password_changed')"
THEMSELVES = "(actor IS NULL OR actor = username)"

# Who has one IPv6 address has all of its /64, as the limits count it too.
CLIENT_NETWORK = """
create function client_network(address text) returns text language sql immutable parallel safe as $$
    select case when address ~ '^[0-9a-f]*:[0-9a-f:]*$'
        then text(network(set_masklen(address::inet, 64))) else address end
$$
"""


def upgrade() -> None:
    op.execute(CLIENT_NETWORK)
    op.drop_index(INDEX, TABLE)
    network = sa.text("client_network(client_address)")
    op.create_index(INDEX, TABLE, ["username", network], postgresql_where=sa.text(f"{KINDS} AND {THEMSELVES}"))


def downgrade() -> None:
    op.drop_index(INDEX, TABLE)
    op.create_index(INDEX, TABLE, ["username", "client_address"], postgresql_where=sa.text(KINDS))
    op.execute("drop function client_network(text)")
