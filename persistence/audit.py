"""The ledger's invariants, checked on a live database: an auditor that trusts nothing but the tables.

All checks see one snapshot, so a busy service may go on meanwhile, and each is a query whose result is the
first account, or transfer, that breaks its rule: memory stays bounded whatever the size of the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from persistence.connection import Connection

STATEMENT_TIMEOUT: Final = "0"

# Named as the contract words them; each selects what breaks the rule, worst first.
CHECKS: Final[dict[str, str]] = {
    "every transfer has its two entries, -amount and +amount": """
        select t.id, 'transfer ' || t.id || ' lacks an entry or has a wrong one'
        from transfers t
        left join entries d on d.account_id = t.from_account_id and d.seq = t.from_seq
        left join entries c on c.account_id = t.to_account_id and c.seq = t.to_seq
        where (d.transfer_id = t.id and d.amount = -t.amount) is not true
           or (c.transfer_id = t.id and c.amount = t.amount) is not true
        order by t.id limit 1
    """,
    "every entry is a side of its transfer": """
        select e.account_id, 'account ' || e.account_id || ': entry ' || e.seq || ' is no side of its transfer'
        from entries e left join transfers t on t.id = e.transfer_id
        where ((e.account_id, e.seq) in ((t.from_account_id, t.from_seq), (t.to_account_id, t.to_seq))) is not true
        order by e.account_id, e.seq limit 1
    """,
    "both sides of a transfer are in its currency": """
        select t.id, 'transfer ' || t.id || ' is not in the currency of both accounts'
        from transfers t
        left join accounts f on f.id = t.from_account_id
        left join accounts g on g.id = t.to_account_id
        where (f.currency = t.currency and g.currency = t.currency) is not true
        order by t.id limit 1
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
        select a.id, 'account ' || a.id || ': balance ' || a.balance || ', its entries sum to ' || coalesce(e.sum, 0)
        from accounts a
        left join (
            select account_id, sum(amount) as sum, max(seq) as seq from entries group by account_id
        ) e on e.account_id = a.id
        where a.balance <> coalesce(e.sum, 0) or a.seq <> coalesce(e.seq, 0)
        order by a.id limit 1
    """,
    "a currency's balances sum to zero": """
        select min(id), currency || ': balances sum to ' || sum(balance)
        from accounts group by currency having sum(balance) <> 0 order by min(id) limit 1
    """,
    "no customer is below the overdraft limit": """
        select id, 'account ' || id || ': balance ' || balance || ' is below its overdraft limit'
        from accounts where kind = 'customer' and balance < -overdraft_limit order by id limit 1
    """,
    "a key moved money at most once": """
        select min(transfer_id), 'transfer ' || transfer_id || ' answers two keys'
        from idempotency_records where transfer_id is not null
        group by transfer_id having count(*) > 1 order by 1 limit 1
    """,
    "a key's transfer is there": """
        select r.transfer_id, 'transfer ' || r.transfer_id || ' of a key is not there'
        from idempotency_records r left join transfers t on t.id = r.transfer_id
        where r.transfer_id is not null and t.id is null order by 1 limit 1
    """,
}

COUNTS: Final = """
select (select count(*) from accounts), (select count(*) from transfers), (select count(*) from entries)
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule and, where it is broken, the first thing that breaks it."""

    rule: str
    broken_by: str | None


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
        return all(finding.broken_by is None for finding in self.findings)


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
        row = await cursor.fetchone()
        findings.append(Finding(rule, None if row is None else str(row[1])))
    await connection.execute("commit")
    accounts, transfers, entries = counts
    return Audit(accounts, transfers, entries, tuple(findings))
