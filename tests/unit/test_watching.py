"""A watch reads when there may be something new, and otherwise only asks whether it may go on."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest
import trio

from domain.errors import Code, Unauthenticated
from domain.ledger import Entry
from domain.policy import Operation, Principal
from proto.transactions.v2 import ledger_pb2 as pb
from transport.grpc.call import Call
from transport.grpc.methods import Method
from transport.grpc.watching import PAGE, watch_account

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Ledger:
    """One account's entries, and how often they were read."""

    def __init__(self) -> None:
        self.newest = 0
        self.reads = 0
        self.ring = None

    async def watch(self, principal, account_id, ring):
        @contextmanager
        def watching():
            self.ring = ring
            yield

        return watching()

    async def follow_entries(self, account_id, *, after_seq, limit):
        self.reads += 1
        last = min(self.newest, after_seq + limit)
        return [Entry(account_id, seq, seq, 1, seq, NOW) for seq in range(after_seq + 1, last + 1)]

    def commit(self, number: int) -> None:
        self.newest += number
        self.ring()


class Authenticator:
    def __init__(self) -> None:
        self.checks = 0
        self.ended = False

    def check_session(self, principal) -> None:
        self.checks += 1
        if self.ended:
            raise Unauthenticated("the session has ended", Code.SESSION_REVOKED)


async def test_an_idle_watch_reads_nothing_and_ends_with_its_session(nursery, autojump_clock):
    ledger, authenticator, seen = Ledger(), Authenticator(), []
    call = Call(Method(b"/x/Y", None, None, False, True, Operation.WATCH_ACCOUNT), [], "")
    call.principal = Principal("alice", {}, UUID(int=1), NOW)
    service = SimpleNamespace(ledger=ledger, authenticator=authenticator)

    async def watch() -> None:
        with pytest.raises(Unauthenticated):
            async for burst in watch_account(service, pb.WatchAccountRequest(account_id=1), call):
                seen.extend(each.entry.seq for each in burst)

    ledger.newest = PAGE + 1
    nursery.start_soon(watch)
    await trio.sleep(60)
    assert seen == list(range(1, PAGE + 2))
    assert ledger.reads == 2
    assert authenticator.checks > 30
    ledger.commit(3)
    await trio.sleep(60)
    assert seen[PAGE + 1 :] == [PAGE + 2, PAGE + 3, PAGE + 4]
    assert ledger.reads == 3
    authenticator.ended = True
    await trio.sleep(3)
    assert not nursery.child_tasks
