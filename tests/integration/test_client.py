"""The typed client on the real service: the API's words, and what survives when the service does not."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import psycopg
import pytest
import trio

from application.tokens import ACCESS, Tokens
from proto.transactions.v2 import identity_pb2
from proto.transactions.v2 import ledger_pb2 as pb
from tests.support.service import PASSWORD, ServiceProcess, open_accounts
from transport import errors
from transport.client.calls import Calls
from transport.client.channel import Channel
from transport.client.client import Client, open_client
from transport.client.failures import StatusError
from transport.client.retry import RetryPolicy
from transport.client.session import LIFE_USED

FUNDS = 1_000_000
ACCESS_S = 2
TOKEN_KEY = b"0123456789abcdef0123456789abcdef"
ANSWERS = "transactions_answer_seconds_count"
ENDS_WITHIN_S = 90
PATIENT = RetryPolicy(attempts_max=100)
"""On a machine with much else to do, a service takes its time to start."""


@asynccontextmanager
async def logged_in(service: ServiceProcess, name: str) -> AsyncIterator[Client]:
    with trio.fail_after(ENDS_WITHIN_S):
        async with open_client(service.grpc, timeout_s=40, policy=PATIENT) as client:
            await client.login(name, PASSWORD)
            yield client


def funded(service: ServiceProcess, name: str) -> tuple[int, int]:
    """Two accounts of a user, the first with FUNDS."""
    first, second = open_accounts(service.database_url, name, 2)
    banker = service.client(service.banker())
    assert banker.post(f"/v1/accounts/{first}/deposits", json={"amount": FUNDS}).status_code == 201
    return first, second


def number(service: ServiceProcess, metric: str, *labels: str) -> float:
    """A number of /metrics; what it does not show is none."""
    for line in httpx.get(f"{service.http}/metrics").text.splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith(f"{metric}{{") and all(label in name for label in labels):
            return float(value)
    return 0


async def until_number(service: ServiceProcess, metric: str, wanted: float) -> None:
    with trio.fail_after(10):
        while number(service, metric) != wanted:
            await trio.sleep(0.02)


def order(first: int, second: int, reference: str) -> pb.StreamTransfersRequest:
    transfer = pb.TransferOrder(from_account_id=first, to_account_id=second, amount=1, currency="USD")
    return pb.StreamTransfersRequest(reference=reference, transfer=transfer)


@pytest.fixture
def mortal(database_url, redis_url, tmp_path):
    """A service for the test to end."""
    service = ServiceProcess(
        tmp_path,
        database_url,
        redis_url,
        ACCESS_TOKEN_DURATION=f"{ACCESS_S}s",
        TOKEN_SYMMETRIC_KEY=TOKEN_KEY.hex(),
    ).start()
    yield service
    assert service.stop() == 0, service.log.read_text()


async def test_the_api_in_its_own_words(service):
    name, banker_name = service.register(), service.banker()
    async with logged_in(service, name) as client, logged_in(service, banker_name) as banker:
        assert await client.is_serving()
        assert (await client.get_user(name)).is_email_verified
        checking = await client.create_account("USD", "Checking", key="first")
        assert await client.create_account("USD", "Checking", key="first") == checking
        savings = await client.create_account("USD", "Savings")
        deposited = await banker.deposit(checking.id, 10_000)
        assert deposited.account.balance == 10_000

        made = await client.create_transfer(checking.id, savings.id, 2_500, "USD", key="rent-may")
        again = await client.create_transfer(checking.id, savings.id, 2_500, "USD", key="rent-may")
        assert again == made
        assert made.from_account.balance == 7_500
        assert await client.get_transfer(made.transfer.id) == made.transfer
        assert (await banker.withdraw(savings.id, 500)).account.balance == 2_000
        assert (await client.get_account(savings.id)).balance == 2_000

        page = await client.list_accounts(limit=1)
        assert [each.id for each in page.items] == [checking.id]
        rest = await client.list_accounts(cursor=page.next_cursor)
        assert [each.id for each in rest.items] == [savings.id]
        entries = (await client.list_entries(checking.id)).items
        assert [each.amount for each in entries] == [-2_500, 10_000]

        orders = [order(checking.id, savings.id, "").transfer for _ in range(3)]
        orders[1].amount = 10**9
        outcomes = await client.batch_transfers(orders)
        assert [each.error.code for each in outcomes] == ["", "insufficient_funds", ""]
        with pytest.raises(StatusError, match=r"transfers\[1\]"):
            await client.batch_transfers(orders, atomic=True)
        sessions: identity_pb2.ListSessionsResponse = await client.call(identity_pb2.ListSessionsRequest())
        assert [each.user_agent for each in sessions.items] == ["transactions-client"]


async def test_a_refusal_says_which_field_is_wrong(service):
    async with logged_in(service, service.register()) as client:
        with pytest.raises(StatusError) as caught:
            await client.create_transfer(-1, 2, 0, "USD")
    assert caught.value.code == "invalid_argument"
    assert [each.field for each in caught.value.fields] == ["from_account_id", "amount"]


async def test_a_thousand_orders_stream_through_one_call(service):
    name = service.register()
    first, second = funded(service, name)
    references = [f"r{n}" for n in range(2_000)]

    async def orders() -> AsyncIterator[pb.StreamTransfersRequest]:
        for reference in references:
            yield order(first, second, reference)

    async with logged_in(service, name) as client:
        async with client.stream_transfers(orders()) as outcomes:
            made = {each.reference: each.outcome async for each in outcomes}
        assert sorted(made) == sorted(references)
        assert sorted(each.from_seq for each in made.values()) == list(range(2, 2_002))
        assert (await client.get_account(second)).balance == 2_000


async def test_a_cancelled_stream_and_a_watch_leave_nothing_on_the_service(service):
    name = service.register()
    first, second = funded(service, name)
    await until_number(service, "transactions_grpc_calls", 0)

    async def endless() -> AsyncIterator[pb.StreamTransfersRequest]:
        while True:
            yield order(first, second, "")

    async with logged_in(service, name) as client:
        async with client.stream_transfers(endless()) as outcomes, client.watch_account(first) as entries:
            for _ in range(500):
                await anext(outcomes)
            assert (await anext(entries)).seq == 1
            assert number(service, "transactions_grpc_calls") == 2
            assert number(service, "transactions_feed_watchers") == 1
        await until_number(service, "transactions_grpc_calls", 0)  # on a connection that is still open
        await until_number(service, "transactions_feed_watchers", 0)
        await until_number(service, "transactions_coordinator_in_flight", 0)
        assert (await client.get_account(second)).balance >= 500
    assert service.audit().returncode == 0


async def test_a_token_is_renewed_in_time_and_once_for_all(mortal):
    async with logged_in(mortal, mortal.register()) as client:
        for renewals in (1, 2):
            await trio.sleep(LIFE_USED * ACCESS_S)
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(client.list_accounts)
            assert number(mortal, ANSWERS, 'operation="renew_access"') == renewals
    assert number(mortal, ANSWERS, 'operation="list_accounts"') == 100


async def test_fifty_calls_with_an_expired_token_make_one_renewal(mortal):
    name = mortal.register()
    async with trio.open_nursery() as nursery:
        calls = Calls(
            Channel.to("127.0.0.1", mortal.grpc_port, nursery),
            nursery,
            timeout_s=10,
            policy=RetryPolicy(),
            random=random.random,
            now=lambda: datetime.now(UTC) + timedelta(days=1),  # so that only the service's word counts
        )
        login = await calls.call(identity_pb2.LoginUserRequest(username=name, password=PASSWORD))
        login.access_token = expired_token(name, login.session_id)
        calls.session.begin(login)
        async with trio.open_nursery() as callers:
            for _ in range(50):
                callers.start_soon(Client(calls).list_accounts)
        nursery.cancel_scope.cancel()
    assert number(mortal, ANSWERS, 'operation="renew_access"') == 1
    assert number(mortal, ANSWERS, 'operation="list_accounts"', f'status="{errors.UNAUTHENTICATED}"') == 50
    assert number(mortal, ANSWERS, 'operation="list_accounts"', f'status="{errors.OK}"') == 50


def expired_token(username: str, session_id: str) -> str:
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    tokens = Tokens([TOKEN_KEY], issue="paseto", now=lambda: long_ago)
    ends = long_ago + timedelta(minutes=15)
    issued = tokens.issue(
        ACCESS, username=username, roles=["depositor"], session_id=UUID(session_id), expires_at=ends
    )
    return issued.token


def transfers_between(service: ServiceProcess, first: int, second: int) -> int:
    with psycopg.connect(service.database_url) as connection:
        (count,) = connection.execute(
            "select count(*) from transfers where from_account_id = %s and to_account_id = %s", [first, second]
        ).fetchone()
    return count


def restart(service: ServiceProcess) -> None:
    service.kill()
    service.start()


async def test_transfers_through_a_kill_are_each_made_once(mortal):
    name = mortal.register()
    first, second = funded(mortal, name)
    made = set()
    async with logged_in(mortal, name) as client:

        async def work() -> None:
            for _ in range(30):
                made.add((await client.create_transfer(first, second, 1, "USD")).transfer.id)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(work)
            while len(made) < 100:
                await trio.sleep(0.01)
            await trio.to_thread.run_sync(restart, mortal)
        assert len(made) == transfers_between(mortal, first, second) == 600
        assert (await client.get_account(second)).balance == 600


async def test_a_stream_through_a_kill_has_one_outcome_for_each_order_and_moves_money_once(mortal):
    name = mortal.register()
    first, second = funded(mortal, name)
    references: list[str] = []

    async def orders() -> AsyncIterator[pb.StreamTransfersRequest]:
        for n in range(3_000):
            yield order(first, second, str(n))

    async with (
        logged_in(mortal, name) as client,
        trio.open_nursery() as nursery,
        client.stream_transfers(orders()) as outcomes,
    ):
        async for each in outcomes:
            assert not each.outcome.HasField("error")
            references.append(each.reference)
            if len(references) == 500:
                nursery.start_soon(trio.to_thread.run_sync, restart, mortal)
    assert sorted(map(int, references)) == list(range(3_000))
    assert transfers_between(mortal, first, second) == 3_000
    assert mortal.audit().returncode == 0


async def test_a_watch_sees_every_entry_once_and_in_order_through_restarts(mortal):
    name = mortal.register()
    first, second = funded(mortal, name)
    seen: list[int] = []
    async with logged_in(mortal, name) as client, trio.open_nursery() as nursery:

        async def work() -> None:
            while True:
                await client.create_transfer(first, second, 1, "USD")

        for _ in range(4):
            nursery.start_soon(work)
        async with client.watch_account(second) as entries:
            for end in (restart, drain_and_start):
                wanted = len(seen) + 300
                while len(seen) < wanted:
                    seen.append((await anext(entries)).seq)
                nursery.start_soon(trio.to_thread.run_sync, end, mortal)
                while len(seen) < wanted + 300:
                    seen.append((await anext(entries)).seq)
        nursery.cancel_scope.cancel()
    assert seen == list(range(1, len(seen) + 1))


def drain_and_start(service: ServiceProcess) -> None:
    assert service.stop() == 0
    service.start()
