"""An account watched: complete and in order, whoever commits."""

from __future__ import annotations

import threading
from pathlib import Path

import grpc
import pytest

from tests.support.ledger_calls import LedgerCalls, order
from tests.support.service import ServiceProcess, open_accounts


@pytest.fixture
def watched(service: ServiceProcess):
    """A customer's calls on one service, and two accounts."""
    name = service.register()
    accounts = open_accounts(service.database_url, name, 2, overdraft=10**6)
    with grpc.insecure_channel(service.grpc) as channel:
        yield LedgerCalls(channel, service.login(name)), *accounts


def take(call, number: int) -> list[int]:
    return [next(call).entry.seq for _ in range(number)]


def test_history_comes_first_and_then_what_happens(watched):
    calls, a, b = watched
    calls.batch([order(a, b) for _ in range(250)])
    call = calls.watch(a)
    assert take(call, 250) == list(range(1, 251))
    calls.batch([order(a, b, 7), order(b, a, 3)])
    entries = [next(call).entry for _ in range(2)]
    assert [(each.seq, each.amount, each.balance_after) for each in entries] == [
        (251, -7, -257),
        (252, 3, -254),
    ]
    call.cancel()


def test_a_watch_is_resumed_after_any_entry(watched):
    calls, a, b = watched
    calls.batch([order(a, b) for _ in range(5)])
    call = calls.watch(b, after_seq=3)
    assert take(call, 2) == [4, 5]
    calls.batch([order(a, b)])
    assert take(call, 1) == [6]
    call.cancel()


def test_entries_committed_by_another_process_come_in_order_and_without_gaps(
    service: ServiceProcess, watched, tmp_path: Path, redis_url: str
):
    calls, a, b = watched
    call = calls.watch(a)
    secret = (service.var_dir / "token-symmetric-key").read_text()
    other = ServiceProcess(tmp_path, service.database_url, redis_url, TOKEN_SYMMETRIC_KEY=secret).start()
    try:
        with grpc.insecure_channel(other.grpc) as channel:
            there = LedgerCalls(channel, calls.token)

            def move(through: LedgerCalls) -> None:
                for _ in range(20):
                    through.batch([order(a, b) for _ in range(25)])

            movers = [threading.Thread(target=move, args=[each]) for each in (calls, there)]
            for mover in movers:
                mover.start()
            assert take(call, 1_000) == list(range(1, 1_001))
            for mover in movers:
                mover.join()
            there.batch([order(a, b)])  # nothing happens here any more that could wake the watch
            assert take(call, 1) == [1_001]
    finally:
        assert other.stop() == 0
    call.cancel()


@pytest.mark.parametrize(("changes", "code"), [({"after_seq": -1}, "invalid_argument"), ({}, "not_found")])
def test_what_can_not_be_watched_is_told_so(watched, service: ServiceProcess, changes, code):
    calls, a, _ = watched
    somebody_elses = open_accounts(service.database_url, service.register(verified=False), 1)[0]
    with pytest.raises(grpc.RpcError) as caught:
        next(calls.watch(a if changes else somebody_elses, **changes))
    assert dict(caught.value.trailing_metadata())["error-code"] == code
