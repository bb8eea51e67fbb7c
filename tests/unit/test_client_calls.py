"""The typed client's calls against a server that the test plays, on a clock that jumps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio

from domain.errors import FieldError, InvalidArgument
from proto.transactions.v2 import identity_pb2, ledger_pb2
from tests.support.http2 import Server, answer, block_of, data_of, headers_of, refusal, reply
from tests.support.scripted import TIMEOUT_S, Peers, logged_in, scripted_client
from transport import errors
from transport.client import frames
from transport.client.channel import OFFERS_MAX
from transport.client.client import Client
from transport.client.failures import NoAnswer, NotSent, StatusError
from transport.client.retry import RetryPolicy
from transport.grpc.status import trailers_of

ACCOUNT = ledger_pb2.GetAccountResponse(account={"id": 7, "balance": 100})
MADE = ledger_pb2.CreateTransferResponse(transfer={"id": 1})
OVERLOADED = (errors.RESOURCE_EXHAUSTED, ("error-code", "overloaded"), ("retry-after", "3"))
UNAVAILABLE = (errors.UNAVAILABLE, ("error-code", "unavailable"))


class Call:
    """A call in a task of its own, and how it ended."""

    def __init__(self, nursery: trio.Nursery, make: Callable[[], Awaitable[Any]]) -> None:
        self.result: Any = None
        self.failure: Exception | None = None
        self.took_s = 0.0
        nursery.start_soon(self._run, make)

    async def _run(self, make: Callable[[], Awaitable[Any]]) -> None:
        began = trio.current_time()
        try:
            self.result = await make()
        except (NoAnswer, StatusError) as failure:
            self.failure = failure
        self.took_s = trio.current_time() - began


async def refuse(server: Server, status: int, *trailers: tuple[str, str]) -> None:
    await server.send(refusal((await server.request()).stream_id, status, *trailers))


def get_account(client: Client) -> Callable[[], Awaitable[Any]]:
    return partial(client.get_account, 7)


def create_transfer(client: Client, **options: Any) -> Callable[[], Awaitable[Any]]:
    return partial(client.create_transfer, 1, 2, 250, "USD", **options)


def create_user(client: Client) -> Callable[[], Awaitable[Any]]:
    return partial(client.create_user, "alice", "correct horse", full_name="A", email="a@example.com")


async def test_a_call_says_who_what_and_how_long(autojump_clock):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        call = Call(nursery, get_account(client))
        request = await server.request()
        await server.send(reply(request.stream_id, ACCOUNT))
    assert request.headers == {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/transactions.v2.Ledger/GetAccount",
        ":authority": "test",
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "transactions-client",
        "authorization": "Bearer access-1",
        "grpc-timeout": "10000m",
    }
    assert request.parsed(ledger_pb2.GetAccountRequest).id == 7
    assert call.result == ACCOUNT.account


async def test_nobody_tells_a_public_call_who_makes_it(autojump_clock):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        Call(nursery, create_user(client))
        request = await server.request()
        await server.send(reply(request.stream_id, identity_pb2.CreateUserResponse()))
    assert "authorization" not in request.headers


async def test_a_refusal_says_what_is_wrong_and_where(autojump_clock):
    problem = InvalidArgument("amount: no € 100%", (FieldError("amount", "must be positive"),))
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        call = Call(nursery, create_transfer(client))
        trailers = [(name.decode(), value.decode()) for name, value in trailers_of(problem)]
        await server.send(answer((await server.request()).stream_id, block_of(*trailers)))
    failure = call.failure
    assert isinstance(failure, StatusError)
    assert (failure.status, failure.code, failure.message) == (3, "invalid_argument", problem.message)
    assert (failure.fields, failure.retry_after_s) == (problem.fields, None)
    assert str(failure) == "invalid_argument: amount: no € 100%"


@pytest.mark.parametrize("details", ["!", "AAAA", "e30"])
async def test_details_that_cannot_be_read_hide_no_refusal(autojump_clock, details):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        call = Call(nursery, get_account(client))
        await refuse(server, errors.NOT_FOUND, ("grpc-status-details-bin", details))
    assert isinstance(call.failure, StatusError)
    assert (call.failure.status, call.failure.code, call.failure.fields) == (5, "", ())


async def test_a_deadline_is_kept_here_and_the_server_is_told(autojump_clock):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        call = Call(nursery, get_account(client))
        request = await server.request()
        assert (await server.next(frames.RST_STREAM))[2] == request.stream_id
    assert isinstance(call.failure, StatusError)
    assert (call.failure.status, call.failure.code) == (errors.DEADLINE_EXCEEDED, "deadline_exceeded")
    assert call.took_s == TIMEOUT_S


async def test_a_call_may_have_a_deadline_of_its_own(autojump_clock):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        call = Call(nursery, partial(client.call, ledger_pb2.GetAccountRequest(id=7), timeout_s=0.25))
        assert (await server.request()).headers["grpc-timeout"] == "250m"
    assert call.took_s == 0.25


async def test_a_read_is_repeated_with_growing_pauses_until_it_is_answered(autojump_clock):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        call = Call(nursery, get_account(client))
        came = []
        for _ in range(4):
            request = await server.request()
            came.append(trio.current_time())
            await server.send(refusal(request.stream_id, *UNAVAILABLE))
        await server.send(reply((await server.request()).stream_id, ACCOUNT))
    assert call.result == ACCOUNT.account
    pauses_s = [later - earlier for earlier, later in pairwise(came)]
    assert pauses_s == pytest.approx([0.05, 0.1, 0.2])


async def test_attempts_are_bounded_by_their_number(autojump_clock):
    policy = RetryPolicy(attempts_max=3)
    async with scripted_client(policy) as (client, peers), trio.open_nursery() as nursery:
        call = Call(nursery, get_account(client))
        server = await peers.next()
        for _ in range(3):
            await refuse(server, *UNAVAILABLE)
    assert isinstance(call.failure, StatusError)
    assert call.failure.code == "unavailable"
    assert call.took_s < 1


async def test_attempts_are_bounded_by_the_deadline(autojump_clock):
    policy = RetryPolicy(attempts_max=1_000)
    async with scripted_client(policy) as (client, peers), trio.open_nursery() as nursery:
        peers.refused = 1_000
        call = Call(nursery, get_account(client))
    assert isinstance(call.failure, NotSent)
    assert TIMEOUT_S - policy.pause_max_s < call.took_s < TIMEOUT_S


@pytest.mark.parametrize("make", [get_account, create_transfer, create_user])
async def test_what_was_not_carried_out_is_repeated_after_the_time_that_was_asked_for(autojump_clock, make):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        call = Call(nursery, make(client))
        await refuse(server, *OVERLOADED)
        await server.send(reply((await server.request()).stream_id, ACCOUNT))
    assert call.failure is None
    assert call.took_s == 3


async def test_who_is_to_come_back_after_the_deadline_fails_at_once(autojump_clock):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        call = Call(nursery, get_account(client))
        await refuse(server, errors.RESOURCE_EXHAUSTED, ("error-code", "rate_limited"), ("retry-after", "60"))
    assert isinstance(call.failure, StatusError)
    assert (call.failure.code, call.failure.retry_after_s) == ("rate_limited", 60)
    assert call.took_s == 0


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (get_account, errors.RESOURCE_EXHAUSTED),  # which will never fit
        (get_account, errors.NOT_FOUND),
        (get_account, errors.INTERNAL),
        (get_account, errors.DEADLINE_EXCEEDED),
        (create_user, errors.UNAVAILABLE),  # who may have been registered
    ],
)
async def test_what_repeating_may_not_help_is_not_repeated(autojump_clock, make, status):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        call = Call(nursery, make(client))
        await refuse(server, status)
    assert isinstance(call.failure, StatusError)
    assert call.failure.status == status


async def test_a_transfer_has_one_key_through_lost_connections(autojump_clock):
    async with logged_in() as (client, peers, server), trio.open_nursery() as nursery:
        call = Call(nursery, create_transfer(client))
        keys = []
        for _ in range(3):
            keys.append((await server.request()).headers["idempotency-key"])
            await server.stream.aclose()
            server = await peers.next()
        request = await server.request()
        keys.append(request.headers["idempotency-key"])
        await server.send(reply(request.stream_id, MADE))
    assert call.result == MADE
    assert len(keys[0]) > 20
    assert len(set(keys)) == 1


async def test_two_transfers_have_two_keys_and_a_given_key_is_used(autojump_clock):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        keys = set()
        for options in ({}, {}, {"key": "rent-may"}):
            Call(nursery, create_transfer(client, **options))
            request = await server.request()
            keys.add(request.headers["idempotency-key"])
            await server.send(reply(request.stream_id, MADE))
    assert len(keys) == 3
    assert "rent-may" in keys


async def test_who_may_have_been_registered_is_not_registered_again(autojump_clock):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        call = Call(nursery, create_user(client))
        await server.request()
        await server.stream.aclose()
    assert isinstance(call.failure, NoAnswer)


async def test_what_the_server_has_never_seen_is_repeated_whatever_it_is(autojump_clock):
    async with logged_in() as (client, peers, server), trio.open_nursery() as nursery:
        peers.refused = 2
        call = Call(nursery, create_user(client))
        request = await server.request()
        await server.send(frames.frame(frames.GOAWAY, 0, 0, bytes(8)))
        server = await peers.next()
        again = await server.request()
        assert again.message == request.message
        await server.send(reply(again.stream_id, identity_pb2.CreateUserResponse()))
    assert call.failure is None


async def test_a_stream_that_is_refused_over_and_over_is_given_up(autojump_clock):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        call = Call(nursery, partial(client.call, ledger_pb2.GetAccountRequest(id=7), timeout_s=0.01))
        for _ in range(1 + OFFERS_MAX):  # a pause would be beyond the deadline
            stream_id = (await server.request()).stream_id
            await server.send(frames.u32_frame(frames.RST_STREAM, stream_id, frames.REFUSED_STREAM))
    assert isinstance(call.failure, NotSent)


async def test_a_goaway_moves_new_calls_to_a_new_connection_and_finishes_the_old_ones(autojump_clock):
    async with logged_in() as (client, peers, old), trio.open_nursery() as nursery:
        first = Call(nursery, get_account(client))
        begun = await old.request()
        await old.send(frames.frame(frames.GOAWAY, 0, 0, (2**31 - 1).to_bytes(4, "big") + bytes(4)))
        await trio.testing.wait_all_tasks_blocked()
        second = Call(nursery, get_account(client))
        new: Server = await peers.next()
        await new.send(reply((await new.request()).stream_id, ACCOUNT))
        await old.send(reply(begun.stream_id, ACCOUNT))
    assert first.result == second.result == ACCOUNT.account


@pytest.mark.parametrize("messages", [[], [b"", b""], [b"\xff"]])
async def test_an_answer_that_is_not_one_message_of_its_type_is_none(autojump_clock, messages):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        call = Call(nursery, create_user(client))
        stream_id = (await server.request()).stream_id
        data = b"".join(data_of(stream_id, message) for message in messages)
        await server.send(headers_of(stream_id), data, answer(stream_id))
    assert isinstance(call.failure, NoAnswer)


async def test_only_requests_of_one_answer_are_called(autojump_clock):
    async with scripted_client() as (client, peers):
        for message in (ledger_pb2.WatchAccountRequest(), ledger_pb2.GetAccountResponse()):
            with pytest.raises(TypeError, match="no request"):
                await client.call(message)
    assert isinstance(peers, Peers)


async def test_what_no_header_can_hold_is_the_callers_mistake(autojump_clock):
    async with scripted_client() as (client, _):
        for key in ("rent\nmay", "miete-märz"):
            with pytest.raises(ValueError, match="idempotency-key"):
                await client.create_account("USD", key=key)
