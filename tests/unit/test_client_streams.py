"""Streams of transfers and watches, through lost connections, against a server that the test plays."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from proto.transactions.v2 import ledger_pb2 as pb
from tests.support.http2 import Server, answer, data_of, headers_of, refusal, reply
from tests.support.scripted import logged_in, renewal
from transport import errors
from transport.client import frames
from transport.client.client import Client
from transport.client.failures import StatusError
from transport.client.retry import RetryPolicy
from transport.client.transfers import IN_FLIGHT_MAX

SHUTTING_DOWN = (errors.UNAVAILABLE, ("error-code", "shutting_down"), ("retry-after", "1"))
EXPIRED = (errors.UNAUTHENTICATED, ("error-code", "token_expired"))


def order(reference: str, key: str = "") -> pb.StreamTransfersRequest:
    transfer = pb.TransferOrder(
        from_account_id=1, to_account_id=2, amount=5, currency="USD", idempotency_key=key
    )
    return pb.StreamTransfersRequest(reference=reference, transfer=transfer)


async def each(orders: list[pb.StreamTransfersRequest]) -> AsyncIterator[pb.StreamTransfersRequest]:
    for one in orders:
        yield one


async def take(server: Server, number: int) -> list[pb.StreamTransfersRequest]:
    """The next orders of the client's one stream."""
    taken = []
    for _ in range(number):
        _, body, _ = await server.data()
        taken.append(pb.StreamTransfersRequest.FromString(body[5:]))
    return taken


def outcome(stream_id: int, request: pb.StreamTransfersRequest) -> bytes:
    made = pb.TransferOutcome(transfer_id=int(request.reference))
    response = pb.StreamTransfersResponse(reference=request.reference, outcome=made)
    return data_of(stream_id, response.SerializeToString())


class Streaming:
    """A stream of transfers in a task of its own, the outcomes that came, and how it ended."""

    def __init__(self) -> None:
        self.references: list[str] = []
        self.failure: Exception | None = None

    async def run(self, client: Client, orders: AsyncIterator[pb.StreamTransfersRequest]) -> None:
        try:
            async with client.stream_transfers(orders) as outcomes:
                async for each_ in outcomes:
                    assert each_.outcome.transfer_id
                    self.references.append(each_.reference)
        except (StatusError, RuntimeError) as failure:
            self.failure = failure


async def test_outcomes_come_in_any_order_with_the_callers_references(autojump_clock):
    streaming = Streaming()
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        nursery.start_soon(streaming.run, client, each([order("a"), order("b", "mine"), order("a")]))
        (stream_id,) = await server.calls(1)
        first, second, third = await take(server, 3)
        assert await server.data() == (stream_id, b"", True)
        await server.send(headers_of(stream_id), *(outcome(stream_id, one) for one in (second, third, first)))
        await server.send(answer(stream_id))
    assert streaming.references == ["b", "a", "a"]
    assert second.transfer.idempotency_key == "mine"
    assert len({one.transfer.idempotency_key for one in (first, second, third)} - {""}) == 3
    assert (first.transfer.amount, first.transfer.currency) == (5, "USD")


async def test_what_has_no_outcome_is_sent_again_with_the_same_key(autojump_clock):
    streaming = Streaming()
    async with logged_in() as (client, peers, server), trio.open_nursery() as nursery:
        nursery.start_soon(streaming.run, client, each([order(name) for name in "abcd"]))
        (stream_id,) = await server.calls(1)
        first = await take(server, 4)
        await server.send(headers_of(stream_id), outcome(stream_id, first[1]))
        await trio.testing.wait_all_tasks_blocked()
        await server.stream.aclose()

        server = await peers.next()
        (stream_id,) = await server.calls(1)
        again = await take(server, 3)
        assert again == [first[0], first[2], first[3]]
        await server.send(
            headers_of(stream_id), outcome(stream_id, again[0]), refusal(stream_id, *SHUTTING_DOWN)
        )

        (stream_id,) = await server.calls(1)
        last = await take(server, 2)
        assert (last, (await server.data())[2]) == (again[1:], True)
        await server.send(*(outcome(stream_id, one) for one in last), answer(stream_id))
    assert streaming.references == list("bacd")


async def test_a_stream_that_ends_well_before_its_last_outcome_is_made_again(autojump_clock):
    streaming = Streaming()
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        nursery.start_soon(streaming.run, client, each([order("a")]))
        await server.send(answer((await server.calls(1))[0]))
        (stream_id,) = await server.calls(1)
        (request,) = await take(server, 1)
        await server.send(outcome(stream_id, request), answer(stream_id))
    assert streaming.references == ["a"]


async def test_a_stream_that_is_lost_after_its_last_outcome_wants_nothing_more(autojump_clock):
    streaming = Streaming()
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        nursery.start_soon(streaming.run, client, each([order("a")]))
        (stream_id,) = await server.calls(1)
        (request,) = await take(server, 1)
        await server.send(outcome(stream_id, request), refusal(stream_id, *SHUTTING_DOWN))
    assert (streaming.references, streaming.failure) == (["a"], None)


async def test_no_more_orders_are_read_than_may_be_in_flight(autojump_clock):
    read = 0

    async def endless() -> AsyncIterator[pb.StreamTransfersRequest]:
        nonlocal read
        while True:
            read += 1
            yield order("")

    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        nursery.start_soon(Streaming().run, client, endless())
        (stream_id,) = await server.calls(1)
        await server.widen(stream_id, 2**24)
        await server.widen(0, 2**24)
        first, *_ = await take(server, IN_FLIGHT_MAX)
        await trio.testing.wait_all_tasks_blocked()
        assert (read, server.taken) == (IN_FLIGHT_MAX, [])
        await server.send(headers_of(stream_id), outcome(stream_id, first))
        await take(server, 1)
        assert read == IN_FLIGHT_MAX + 1
        nursery.cancel_scope.cancel()


async def test_what_the_orders_raise_the_block_raises(autojump_clock):
    async def broken() -> AsyncIterator[pb.StreamTransfersRequest]:
        yield order("a")
        raise RuntimeError("no more orders")

    streaming = Streaming()
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        nursery.start_soon(streaming.run, client, broken())
        (stream_id,) = await server.calls(1)
        assert (await server.next(frames.RST_STREAM))[2] == stream_id
    assert str(streaming.failure) == "no more orders"


async def test_a_refusal_of_the_stream_ends_it(autojump_clock):
    streaming = Streaming()
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        nursery.start_soon(streaming.run, client, each([order("a")]))
        (stream_id,) = await server.calls(1)
        await server.send(refusal(stream_id, errors.PERMISSION_DENIED, ("error-code", "email_not_verified")))
    assert isinstance(streaming.failure, StatusError)
    assert streaming.failure.code == "email_not_verified"


# Watches


def entries(stream_id: int, *seqs: int) -> bytes:
    return b"".join(
        data_of(stream_id, pb.WatchAccountResponse(entry={"account_id": 7, "seq": seq}).SerializeToString())
        for seq in seqs
    )


async def watch_asked(server: Server) -> tuple[int, int]:
    """The stream of the client's next watch, and after what."""
    request = await server.request()
    assert request.headers[":path"].endswith("/WatchAccount")
    return request.stream_id, request.parsed(pb.WatchAccountRequest).after_seq


async def watch(client: Client, seen: list[int], until: int, after_seq: int = 0) -> None:
    async with client.watch_account(7, after_seq=after_seq) as watching:
        async for entry in watching:
            seen.append(entry.seq)
            if entry.seq == until:
                return


async def test_a_watch_goes_on_after_the_last_entry_that_it_gave(autojump_clock):
    seen: list[int] = []
    async with logged_in() as (client, peers, server), trio.open_nursery() as nursery:
        nursery.start_soon(watch, client, seen, 8, 2)
        stream_id, after = await watch_asked(server)
        assert after == 2
        await server.send(headers_of(stream_id), entries(stream_id, 3, 4), refusal(stream_id, *SHUTTING_DOWN))
        stream_id, after = await watch_asked(server)
        assert after == 4
        await server.send(headers_of(stream_id), entries(stream_id, 5, 6))
        await trio.testing.wait_all_tasks_blocked()
        await server.stream.aclose()
        server = await peers.next()
        stream_id, after = await watch_asked(server)
        assert after == 6
        await server.send(headers_of(stream_id), entries(stream_id, 7), answer(stream_id))
        stream_id, after = await watch_asked(server)
        assert after == 7
        await server.send(headers_of(stream_id), entries(stream_id, 8))
        assert (await server.next(frames.RST_STREAM))[2] == stream_id  # who has seen enough says so
    assert seen == [3, 4, 5, 6, 7, 8]


async def test_a_watch_that_finds_its_token_expired_is_made_again_with_another(autojump_clock):
    seen: list[int] = []
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        nursery.start_soon(watch, client, seen, 1)
        stream_id, _ = await watch_asked(server)
        await server.send(refusal(stream_id, *EXPIRED))
        await server.send(reply((await server.request()).stream_id, renewal(2)))
        request = await server.request()
        assert request.headers["authorization"] == "Bearer access-2"
        await server.send(headers_of(request.stream_id), entries(request.stream_id, 1))
    assert seen == [1]


async def test_a_watch_of_nothing_is_refused_once(autojump_clock):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:

        async def fails() -> None:
            with pytest.raises(StatusError):
                await watch(client, [], 1)

        nursery.start_soon(fails)
        await server.send(refusal((await watch_asked(server))[0], errors.NOT_FOUND))


async def test_a_watch_gives_up_when_the_service_stays_away_but_not_for_rare_restarts(autojump_clock):
    policy = RetryPolicy(steady_s=5)
    async with logged_in(policy) as (client, _, server), trio.open_nursery() as nursery:

        async def fails() -> None:
            with pytest.raises(StatusError) as caught:
                await watch(client, [], 1)
            assert caught.value.code == "shutting_down"

        nursery.start_soon(fails)
        for _ in range(3 * policy.attempts_max):  # an idle watch, on a service that is restarted now and then
            stream_id, _ = await watch_asked(server)
            await trio.sleep(policy.steady_s + 1)
            await server.send(refusal(stream_id, *SHUTTING_DOWN))
        for _ in range(policy.attempts_max - 1):
            await server.send(refusal((await watch_asked(server))[0], *SHUTTING_DOWN))
