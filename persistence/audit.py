"""The ledger's invariants, checked on a live database: an auditor that trusts nothing but the tables.

All checks see one snapshot, so a busy service may go on meanwhile, and each is a query whose result is the
first account that breaks its rule: memory stays bounded whatever the size of the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from persistence.connection import Connection

STATEMENT_TIMEOUT: Final = "0"

# Named as the contract words them; each selects the first account that breaks its rule, and how.
CHECKS: Final[dict[str, str]] = {
    "every transfer has its two entries, -amount and +amount": """
        select account_id, 'account ' || account_id || ': transfer ' || id || ' lacks its entry or has a wrong one'
        from (
            select t.id, case when
                (d.transfer_id = t.id and d.amount = -t.amount and d.created_at = t.created_at) is not true
                or (t.amount > 0 and t.from_account_id <> t.to_account_id) is not true then t.from_account_id
            when (c.transfer_id = t.id and c.amount = t.amount and c.created_at = t.created_at) is not true
                then t.to_account_id end as account_id
            from transfers t
            left join entries d on d.account_id = t.from_account_id and d.seq = t.from_seq
            left join entries c on c.account_id = t.to_account_id and c.seq = t.to_seq
        ) t
        where account_id is not null order by account_id, id limit 1
    """,
    "every entry is a side of its transfer": """
        select e.account_id, 'account ' || e.account_id || ': entry ' || e.seq || ' is no side of its transfer'
        from entries e left join transfers t on t.id = e.transfer_id
        where ((e.account_id, e.seq) in ((t.from_account_id, t.from_seq), (t.to_account_id, t.to_seq))) is not true
        order by e.account_id, e.seq limit 1
    """,
    "both sides of a transfer are in its currency": """
        select s.account_id, 'account ' || s.account_id || ': transfer ' || s.id || ' is in ' || s.currency
            || ', the account ' || coalesce('in ' || a.currency, 'is not there')
        from (
            select id, currency, from_account_id as account_id from transfers
            union all select id, currency, to_account_id from transfers
        ) s
        left join accounts a on a.id = s.account_id
        where a.currency is distinct from s.currency order by s.account_id, s.id limit 1
    """,
    "entries are numbered 1, 2, 3... and each continues the one before": """
        select account_id, 'account ' || account_id || ': entry ' || seq || ' does not continue entry ' || seq - 1
        from (
            select account_id, seq, amount, balance_after, created_at,
                   row_number() over history as number,
                   lag(balance_after, 1, 0::bigint) over history as balance_before,
                   lag(created_at) over history as time_before
            from entries window history as (partition by account_id order by seq)
        ) e
        where seq <> number or balance_after <> balance_before + amount or created_at < time_before
        order by account_id, seq limit 1
    """,
    "a balance is the sum of its account's entries": """
        select id, 'account ' || id || ': ' || coalesce('balance ' || a.balance || ' at entry ' || a.seq, 'not there')
            || ', its ' || coalesce(e.seq, 0) || ' entries sum to ' || coalesce(e.sum, 0)
        from accounts a
        full join (
            select account_id as id, sum(amount) as sum, max(seq) as seq from entries group by account_id
        ) e using (id)
        where a.balance is distinct from coalesce(e.sum, 0) or a.seq is distinct from coalesce(e.seq, 0)
        order by id limit 1
    """,
    "a currency's balances sum to zero": """
        select null, currency || ': balances sum to ' || sum(balance)
        from accounts group by currency having sum(balance) <> 0 order by currency limit 1
    """,
    "no customer is below the overdraft limit": """
        select id, 'account ' || id || ': balance ' || balance || ' is below its overdraft limit'
        from accounts where kind = 'customer' and balance < -overdraft_limit order by id limit 1
    """,
    "a key moved money at most once": """
        select t.from_account_id, 'account ' || t.from_account_id || ': transfer ' || t.id || ' answers two keys'
        from (
            select transfer_id from idempotency_records where transfer_id is not null
            group by transfer_id having count(*) > 1
        ) r
        join transfers t on t.id = r.transfer_id order by t.from_account_id, t.id limit 1
    """,
    "what a key answers is there": """
        select account_id, 'a key of ' || username || ' answers '
            || coalesce('transfer ' || transfer_id, 'account ' || account_id) || ', which is not there'
        from idempotency_records r
        where not exists (select from transfers t where t.id = r.transfer_id)
          and not exists (select from accounts a where a.id = r.account_id)
          and refusal is null
        order by account_id nulls last, transfer_id limit 1
    """,
}

COUNTS: Final = """
select (select count(*) from accounts), (select count(*) from transfers), (select count(*) from entries)
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule and, where it is broken, the first account that breaks it (None: none can be told) and how."""

    rule: str
    account_id: int | None = None
    broken_by: str | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """What was looked at, and what was found."""

    accounts: int
    transfers: int
    entries: int
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Whether every rule holds."""
        return self.first_broken is None

    @property
    def first_broken(self) -> Finding | None:
        """Of all broken rules that of the smallest account id; those of no account come last."""
        broken = [finding for finding in self.findings if finding.broken_by is not None]
        return min(broken, key=lambda each: (each.account_id is None, each.account_id or 0), default=None)


async def audit(connection: Connection) -> Audit:
    """Check every rule on one snapshot of the database."""
    await connection.execute("begin transaction isolation level repeatable read read only")
    await connection.execute(f"set local statement_timeout = {STATEMENT_TIMEOUT}")
    cursor = await connection.execute(COUNTS)
    counts = await cursor.fetchone()
    assert counts is not None
    findings = []
    for rule, statement in CHECKS.items():
        cursor = await connection.execute(statement)
        findings.append(Finding(rule, *(await cursor.fetchone() or ())))
    await connection.execute("commit")
    accounts, transfers, entries = counts
    return Audit(accounts, transfers, entries, tuple(findings))
