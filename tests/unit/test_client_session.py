"""Tokens are renewed in time, one renewal at a time, against a server that the test plays on a clock that jumps."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from proto.transactions.v2 import identity_pb2, ledger_pb2
from tests.support.http2 import Request, Server, refusal, reply
from tests.support.scripted import ACCESS_S, logged_in, login_response, renewal, scripted_client
from transport import errors
from transport.client.client import Client
from transport.client.failures import CallFailed, NoAnswer, StatusError
from transport.client.session import LIFE_USED

RENEW = "/transactions.v2.Identity/RenewAccess"
EXPIRED = (errors.UNAUTHENTICATED, ("error-code", "token_expired"))
REVOKED = (errors.UNAUTHENTICATED, ("error-code", "session_revoked"))
ACCOUNT = ledger_pb2.GetAccountResponse()


def token_of(request: Request) -> str:
    return request.headers["authorization"].removeprefix("Bearer ")


async def renewal_asked(server: Server) -> tuple[Request, str]:
    """The client's next call, which is a renewal, and the refresh token that it presents."""
    request = await server.request()
    assert request.headers[":path"] == RENEW
    assert "authorization" not in request.headers
    return request, request.parsed(identity_pb2.RenewAccessRequest).refresh_token


async def test_a_token_is_renewed_before_it_ends_and_the_new_pair_replaces_the_old(autojump_clock):
    async with logged_in() as (client, _, server):
        for number in (1, 2):
            await trio.sleep(LIFE_USED * ACCESS_S)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.get_account, 7)
                request, presented = await renewal_asked(server)
                assert presented == f"refresh-{number}"
                await server.send(reply(request.stream_id, renewal(number + 1)))
                request = await server.request()
                assert token_of(request) == f"access-{number + 1}"
                await server.send(reply(request.stream_id, ACCOUNT))


async def test_fifty_calls_with_an_expired_token_make_one_renewal_and_are_made_again_once(autojump_clock):
    async with logged_in() as (client, _, server):
        seen: list[str] = []

        async def serve() -> None:
            while True:
                request = await server.request()
                seen.append(request.headers.get("authorization", request.headers[":path"]))
                if seen[-1] == RENEW:
                    await trio.sleep(1)
                    await server.send(reply(request.stream_id, renewal(2)))
                elif token_of(request) == "access-1":
                    await server.send(refusal(request.stream_id, *EXPIRED))
                else:
                    await server.send(reply(request.stream_id, ACCOUNT))

        async with trio.open_nursery() as serving:
            serving.start_soon(serve)
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(client.get_account, 7)
            serving.cancel_scope.cancel()
    assert (seen.count("Bearer access-1"), seen.count(RENEW), seen.count("Bearer access-2")) == (50, 1, 50)


async def test_a_call_that_comes_while_a_renewal_is_under_way_waits_for_it(autojump_clock):
    async with logged_in() as (client, _, server):
        await trio.sleep(LIFE_USED * ACCESS_S)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get_account, 7)
            request, _ = await renewal_asked(server)
            nursery.start_soon(client.get_account, 8)
            await trio.testing.wait_all_tasks_blocked()
            assert server.taken == []
            await server.send(reply(request.stream_id, renewal(2)))
            for _ in range(2):
                request = await server.request()
                assert token_of(request) == "access-2"
                await server.send(reply(request.stream_id, ACCOUNT))


async def test_a_call_that_is_cancelled_does_not_cancel_its_renewal(autojump_clock):
    async with logged_in() as (client, _, server):
        await trio.sleep(LIFE_USED * ACCESS_S)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get_account, 7)
            request, _ = await renewal_asked(server)
            nursery.cancel_scope.cancel()
        await server.send(reply(request.stream_id, renewal(2)))
        await trio.testing.wait_all_tasks_blocked()
        assert server.taken == []  # not reset, and not made again
        assert await client.access_token() == "access-2"


async def test_a_token_that_expires_again_at_once_fails_the_call(autojump_clock):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        nursery.start_soon(fails, client, "token_expired")
        await server.send(refusal((await server.request()).stream_id, *EXPIRED))
        request, _ = await renewal_asked(server)
        await server.send(reply(request.stream_id, renewal(2)))
        await server.send(refusal((await server.request()).stream_id, *EXPIRED))


async def fails(client: Client, code: str) -> None:
    with pytest.raises(StatusError) as caught:
        await client.get_account(7)
    assert caught.value.code == code


async def test_everybody_is_told_that_the_session_has_ended(autojump_clock):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        await trio.sleep(ACCESS_S)
        for _ in range(3):
            nursery.start_soon(fails, client, "session_revoked")
        request, _ = await renewal_asked(server)
        await server.send(refusal(request.stream_id, *REVOKED))


async def test_a_lost_renewal_is_not_presented_again_while_the_old_token_is_good(autojump_clock):
    async with logged_in() as (client, peers, server):
        await trio.sleep(LIFE_USED * ACCESS_S)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get_account, 7)
            await renewal_asked(server)
            await server.stream.aclose()
            server = await peers.next()
            for _ in range(2):  # the call that waited for it, and the next one
                request = await server.request()
                assert token_of(request) == "access-1"
                await server.send(reply(request.stream_id, ACCOUNT))
                nursery.start_soon(client.get_account, 8)
            await server.send(reply((await server.request()).stream_id, ACCOUNT))
        await trio.sleep(ACCESS_S)
        async with trio.open_nursery() as nursery:  # now there is nothing left to lose by it
            nursery.start_soon(client.get_account, 7)
            request, presented = await renewal_asked(server)
            assert presented == "refresh-1"
            await server.send(reply(request.stream_id, renewal(2)))
            await server.send(reply((await server.request()).stream_id, ACCOUNT))


async def test_a_renewal_that_was_not_carried_out_is_made_again(autojump_clock):
    async with logged_in() as (client, _, server):
        await trio.sleep(ACCESS_S)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.access_token)
            request, _ = await renewal_asked(server)
            overloaded = (("error-code", "overloaded"), ("retry-after", "1"))
            await server.send(refusal(request.stream_id, errors.RESOURCE_EXHAUSTED, *overloaded))
            request, presented = await renewal_asked(server)
            assert presented == "refresh-1"
            await server.send(reply(request.stream_id, renewal(2)))


async def test_a_failed_renewal_fails_calls_only_when_the_old_token_has_ended(autojump_clock):
    async with logged_in() as (client, _, server):
        await trio.sleep(ACCESS_S)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lost, client)
            await renewal_asked(server)
            await server.stream.aclose()


async def lost(client: Client) -> None:
    with pytest.raises(NoAnswer):
        await client.access_token()


async def test_a_clock_that_is_fast_does_not_renew_what_it_takes_for_dead(autojump_clock):
    async with scripted_client() as (client, peers), trio.open_nursery() as nursery:
        nursery.start_soon(client.login, "alice", "correct horse")
        server = await peers.next()
        await server.send(reply((await server.request()).stream_id, login_response(access_s=-60)))
        await trio.testing.wait_all_tasks_blocked()
        assert await client.access_token() == "access-1"


async def test_who_has_logged_in_again_meanwhile_keeps_the_new_tokens(autojump_clock):
    async with logged_in() as (client, _, server):
        await trio.sleep(LIFE_USED * ACCESS_S)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.access_token)
            old, _ = await renewal_asked(server)
            nursery.start_soon(client.login, "bob", "battery staple")
            await server.send(reply((await server.request()).stream_id, login_response(9)))
            await trio.testing.wait_all_tasks_blocked()
            await server.send(reply(old.stream_id, renewal(2)))
        assert await client.access_token() == "access-9"


async def test_who_has_logged_out_makes_calls_as_nobody(autojump_clock):
    async with logged_in() as (client, _, server), trio.open_nursery() as nursery:
        nursery.start_soon(client.logout)
        request = await server.request()
        assert token_of(request) == "access-1"
        await server.send(reply(request.stream_id, identity_pb2.LogoutUserResponse()))
        await trio.testing.wait_all_tasks_blocked()
        assert await client.access_token() is None
        nursery.start_soon(client.get_account, 7)
        request = await server.request()
        assert "authorization" not in request.headers
        await server.send(reply(request.stream_id, ACCOUNT))


async def test_what_the_block_raises_comes_out_as_it_is(autojump_clock):
    with pytest.raises(CallFailed, match="mine"):
        async with scripted_client():
            raise CallFailed("mine")
