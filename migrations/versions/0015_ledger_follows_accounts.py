"""Triggers for what the first guards left open: who a transfer is between, and which way an account goes.

Both accounts of a transfer are there, keep its currency, and have moved on to its entries by the end of the
statement. An account never goes back to an older entry of its own. With the guards of 0006, which ask that an
account's balance is that of the entry it is at, every account is therefore always at its newest entry.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"

# Each account is looked up once a batch, whatever the number of its transfers; by index, as in 0006.
TRANSFERS_MOVE_THEIR_ACCOUNTS = """
create function transfers_move_their_accounts() returns trigger language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
    if exists (
        select from (
            select s.id, s.currency, max(s.seq) as seq from (
                select from_account_id, currency, from_seq from inserted
                union all select to_account_id, currency, to_seq from inserted
            ) s (id, currency, seq) group by s.id, s.currency
        ) s
        left join accounts a on a.id = s.id
        where (a.currency = s.currency and a.seq >= s.seq) is not true
    ) then
        raise exception 'a transfer''s account is missing, of another currency, or was not moved'
            using errcode = 'integrity_constraint_violation', constraint = tg_name, table = tg_table_name;
    end if;
    return null;
end $$
"""


def upgrade() -> None:
    op.execute(TRANSFERS_MOVE_THEIR_ACCOUNTS)
    op.execute(
        "create trigger transfers_move_accounts after insert on transfers referencing new table as inserted "
        "for each statement execute function transfers_move_their_accounts()"
    )
    # Calls no function while its condition does not hold, so a batch of a thousand rows does not feel it.
    op.execute(
        "create trigger accounts_forward after update on accounts "
        "for each row when (new.seq < old.seq) execute function refuse_change()"
    )


def downgrade() -> None:
    op.execute("drop trigger accounts_forward on accounts")
    op.execute("drop trigger transfers_move_accounts on transfers")
    op.execute("drop function transfers_move_their_accounts()")
