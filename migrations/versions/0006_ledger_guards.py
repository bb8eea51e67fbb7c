"""Triggers for the ledger invariants that no constraint can state.

Histories are immutable; every transfer has its two entries and every entry is a side of its transfer; every
entry continues its account's history; every account's balance is its newest entry's. The checks run once per
statement on all its rows, so a batch pays for them once. Transfers, entries and balances are therefore
written by one statement: triggers fire at its end, when all of it can be seen.

The planner's choice is fixed to index look-ups: a plan cached when the tables were small would otherwise
scan them when they are large.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

BY_INDEX = "set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off"

REFUSE_CHANGE = """
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% of % is not allowed', lower(tg_op), tg_table_name
        using errcode = 'restrict_violation', constraint = tg_name, table = tg_table_name;
end $$
"""

TRANSFERS_HAVE_BOTH_ENTRIES = f"""
create function transfers_have_both_entries() returns trigger language plpgsql {BY_INDEX} as $$
begin
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
    return null;
end $$
"""

ENTRIES_CONTINUE_THEIR_ACCOUNTS = f"""
create function entries_continue_their_accounts() returns trigger language plpgsql {BY_INDEX} as $$
begin
    if exists (
        select from inserted e
        left join transfers t on t.id = e.transfer_id
        left join entries p on p.account_id = e.account_id and p.seq = e.seq - 1
        where ((e.account_id, e.seq) in ((t.from_account_id, t.from_seq), (t.to_account_id, t.to_seq))) is not true
           or (p.seq is null and e.seq > 1)
           or e.balance_after <> coalesce(p.balance_after, 0) + e.amount
           or e.created_at < p.created_at
    ) then
        raise exception 'an entry does not continue its account''s history'
            using errcode = 'integrity_constraint_violation', constraint = tg_name, table = tg_table_name;
    end if;
    return null;
end $$
"""

BALANCES_FOLLOW_ENTRIES = f"""
create function balances_follow_entries() returns trigger language plpgsql {BY_INDEX} as $$
begin
    if exists (
        select from changed a
        left join entries e on e.account_id = a.id and e.seq = a.seq
        where a.balance <> coalesce(e.balance_after, 0) or (e.seq is null and a.seq > 0)
    ) then
        raise exception 'a balance differs from its newest entry'
            using errcode = 'integrity_constraint_violation', constraint = tg_name, table = tg_table_name;
    end if;
    return null;
end $$
"""


def upgrade() -> None:
    op.execute(REFUSE_CHANGE)
    for table in ("transfers", "entries"):
        op.execute(
            f"create trigger {table}_immutable before update or delete or truncate on {table} "
            "for each statement execute function refuse_change()"
        )
    op.execute(
        "create trigger accounts_undeletable before delete or truncate on accounts "
        "for each statement execute function refuse_change()"
    )
    op.execute(
        "create trigger accounts_identity before update of id, owner, currency, kind, created_at on accounts "
        "for each statement execute function refuse_change()"
    )
    op.execute(TRANSFERS_HAVE_BOTH_ENTRIES)
    op.execute(
        "create trigger transfers_both_entries after insert on transfers referencing new table as inserted "
        "for each statement execute function transfers_have_both_entries()"
    )
    op.execute(ENTRIES_CONTINUE_THEIR_ACCOUNTS)
    op.execute(
        "create trigger entries_history after insert on entries referencing new table as inserted "
        "for each statement execute function entries_continue_their_accounts()"
    )
    op.execute(BALANCES_FOLLOW_ENTRIES)
    op.execute(
        "create trigger accounts_balance_updated after update on accounts referencing new table as changed "
        "for each statement execute function balances_follow_entries()"
    )
    op.execute(
        "create trigger accounts_balance_inserted after insert on accounts referencing new table as changed "
        "for each statement execute function balances_follow_entries()"
    )


def downgrade() -> None:
    for trigger, table in (
        ("accounts_balance_inserted", "accounts"),
        ("accounts_balance_updated", "accounts"),
        ("entries_history", "entries"),
        ("transfers_both_entries", "transfers"),
        ("accounts_identity", "accounts"),
        ("accounts_undeletable", "accounts"),
        ("entries_immutable", "entries"),
        ("transfers_immutable", "transfers"),
    ):
        op.execute(f"drop trigger {trigger} on {table}")
    for function in (
        "balances_follow_entries",
        "entries_continue_their_accounts",
        "transfers_have_both_entries",
        "refuse_change",
    ):
        op.execute(f"drop function {function}()")
