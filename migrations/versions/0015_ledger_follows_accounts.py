"""Guards for what the first ones left open: who a transfer is between, and which way an account goes.

Both accounts of a transfer are there, are in its currency, and have moved on to its entries by the end of the
statement. An account never goes back to an older entry of its own. With the guards of 0006, which ask that an
account's balance is that of the entry it is at, every account is therefore always at its newest entry.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"

BOTH_ENTRIES = """
    if exists (
        select from inserted t
        left join entries d on d.account_id = t.from_account_id and d.seq = t.from_seq
        left join entries c on c.account_id = t.to_account_id and c.seq = t.to_seq
        where (d.transfer_id = t.id and d.amount = -t.amount and d.created_at = t.created_at) is not true
           or (c.transfer_id = t.id and c.amount = t.amount and c.created_at = t.created_at) is not true
    ) then
        raise exception 'a transfer lacks one of its two entries'
            using errcode = 'integrity_constraint_violation', constraint = tg_name, table = tg_table_name;
    end if;
"""

# Each account is looked up once a batch, and not in a trigger of its own: a call costs more than the look-ups.
MOVED_ACCOUNTS = """
    if exists (
        select from (
            select s.id, s.currency, max(s.seq) as seq from (
                select from_account_id, currency collate "C", from_seq from inserted
                union all select to_account_id, currency collate "C", to_seq from inserted
            ) s (id, currency, seq) group by s.id, s.currency
        ) s
        left join accounts a on a.id = s.id
        where (a.currency = s.currency and a.seq >= s.seq) is not true
    ) then
        raise exception 'a transfer''s account is missing, of another currency, or was not moved'
            using errcode = 'integrity_constraint_violation', constraint = 'transfers_moved_accounts',
                  table = tg_table_name;
    end if;
"""


def _guard(*checks: str) -> str:
    return f"""
create or replace function transfers_have_both_entries() returns trigger language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
{"".join(checks)}
    return null;
end $$
"""


def upgrade() -> None:
    op.execute(_guard(BOTH_ENTRIES, MOVED_ACCOUNTS))
    # Calls no function while its condition does not hold: a batch of many rows does not feel it.
    op.execute(
        "create trigger accounts_forward after update on accounts "
        "for each row when (new.seq < old.seq) execute function refuse_change()"
    )


def downgrade() -> None:
    op.execute("drop trigger accounts_forward on accounts")
    op.execute(_guard(BOTH_ENTRIES))
