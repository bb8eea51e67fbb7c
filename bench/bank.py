"""A bank to measure: a database of its own with so many accounts and so long a history, and a service on it."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import psycopg
import trio

from cli.audit import audited
from cli.credentials import new_users
from cli.drill.installation import DrillFailed, Installation, Service
from cli.hammer.plan import Plan
from transport.client.client import open_client

CURRENCY = "USD"
OVERDRAFT = 10**15
"""On every account, so that none has to be funded; the books still come to zero."""
HOT_ACCOUNTS = 1_000
"""The hot account among them."""
ACCOUNTS_AND_A_PAIR = HOT_ACCOUNTS + 2
"""With two that are cold while the hot one is hammered."""

OPEN_ACCOUNTS = """
insert into accounts (owner, currency, overdraft_limit)
select %s, %s, %s from generate_series(1, %s) returning id
"""

# As the service would have left it: every transfer from the hot account to one of the others in turn.
FILL = """
set session_replication_role = replica;
create temporary table past as
select i as id, %(hot)s::bigint as source, 1 + (i - 1) / %(others)s as to_seq, t.id as target,
       now() - interval '1 day' + i * interval '1 microsecond' as at
from generate_series(1, %(transfers)s::bigint) i
join unnest(%(targets)s::bigint[]) with ordinality t (id, position) on t.position = 1 + (i - 1) %% %(others)s;
insert into transfers (id, from_account_id, from_seq, to_account_id, to_seq, amount, currency, created_by, created_at)
select id, source, id, target, to_seq, 1, %(currency)s, %(owner)s, at from past order by id;
insert into entries (account_id, seq, transfer_id, amount, balance_after, created_at)
select source, id, id, -1, -id, at from past order by id;
insert into entries (account_id, seq, transfer_id, amount, balance_after, created_at)
select target, to_seq, id, 1, to_seq, at from past order by target, to_seq;
update accounts a set balance = h.balance_after, seq = h.seq, changed_at = h.created_at
from (select distinct on (account_id) * from entries order by account_id, seq desc) h where a.id = h.account_id;
select setval('transfer_id_blocks', 1 + %(transfers)s / 1000);
"""

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Bank:
    """Two plans in files: transfers from one hot account, and between any two of all accounts."""

    database_url: str
    service: Service
    owner: str
    hot: Path
    uniform: Path

    def cold_pair(self) -> Plan:
        """Between the last two accounts."""
        plan = Plan.read(self.uniform)
        return replace(plan, accounts=plan.accounts[-2:], hot=True)

    async def audit(self) -> int:
        """How many transfers there are; raises DrillFailed."""
        found = await audited(self.database_url)
        if found.first_broken is not None:
            raise DrillFailed(found.first_broken.broken_by)
        return found.transfers


@asynccontextmanager
async def open_bank(
    installation: Installation, *, accounts: int = HOT_ACCOUNTS, history: int = 0
) -> AsyncIterator[Bank]:
    """For the block, at whose end the books are audited and the database is dropped. Raises DrillFailed."""
    name = f"bank_{next(_numbers)}"
    postgres = installation.postgres
    await trio.to_thread.run_sync(lambda: postgres.create_database(name, template="transactions"))
    url = postgres.url(name)
    users = await new_users(url, "bench")
    ids = await trio.to_thread.run_sync(_open_accounts, url, users.depositor, accounts, history)
    service = installation.service(name, DATABASE_URL=url)
    async with serving(service):
        async with open_client(f"127.0.0.1:{service.grpc_port}") as client:
            await client.login(users.depositor, users.depositor_password)
            token = await client.access_token() or ""
        plan = Plan(token, ids, CURRENCY, hot=False)
        hot, uniform = (installation.folder / f"{name}-{kind}.json" for kind in ("hot", "uniform"))
        replace(plan, accounts=ids[:HOT_ACCOUNTS], hot=True).write(hot)
        plan.write(uniform)
        bank = Bank(url, service, users.depositor, hot, uniform)
        yield bank
    await bank.audit()
    await trio.to_thread.run_sync(postgres.drop_database, name)


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator[Service]:
    """A service that runs for the block. Raises DrillFailed."""
    await service.start()
    await service.wait_ready()
    try:
        yield service
    finally:
        with trio.CancelScope(shield=True):
            if service.running:
                service.signal(signal.SIGTERM)
                with trio.move_on_after(30):
                    await service.wait()
            await service.kill()


def _open_accounts(url: str, owner: str, accounts: int, history: int) -> list[int]:
    with psycopg.connect(url, autocommit=True) as connection:
        made = connection.execute(OPEN_ACCOUNTS, [owner, CURRENCY, OVERDRAFT, accounts])
        ids = sorted(number for (number,) in made)
        if history:
            hot, *targets = ids[:HOT_ACCOUNTS]
            with psycopg.ClientCursor(connection) as cursor:
                cursor.execute(
                    FILL,
                    {
                        "hot": hot,
                        "targets": targets,
                        "others": len(targets),
                        "transfers": history,
                        "currency": CURRENCY,
                        "owner": owner,
                    },
                )
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")
        return ids
