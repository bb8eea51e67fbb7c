"""The real tree, with actors that crash: what serves money never ends it, and what moves it comes back."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
import trio

from actors import revocations
from actors.email import EmailActor
from actors.feed import Feed
from actors.lane import Lane
from actors.outbox_relay import OutboxRelay
from actors.restarts import RestartIntensityExceeded
from actors.revocations import Revocations
from actors.supervisor import ChildStatistics
from actors.sweeper import Sweeper
from application.tokens import ACCESS, Tokens
from cli import serve
from cli.settings import load
from cli.wiring import open_service
from infra.local.interrupts import Interrupts
from infra.local.launcher import EmbeddedServers
from tests.support.service import open_accounts
from transport.grpc.server import GrpcServer


class Crash(Exception):
    pass


@pytest.fixture
def settings(tmp_path):
    return load(
        {
            "VAR_DIR": str(tmp_path),
            "HTTP_SERVER_ADDRESS": "127.0.0.1:0",
            "GRPC_SERVER_ADDRESS": "127.0.0.1:0",
            "REQUIRE_VERIFIED_EMAIL": "false",
            "SHUTDOWN_GRACE": "5s",
        }
    )


@pytest.fixture
def pair(database, database_url) -> list[int]:
    database.execute(
        "insert into users (username, full_name, email, password_hash) values ('alice', 'A', 'a@b.cd', 'x')"
    )
    return open_accounts(database_url, "alice", 2, overdraft=1_000)


class Bank:
    """A service in this process, and a client who may move money."""

    def __init__(self, running, settings, pair) -> None:
        self.root = running.root
        self.session_id = uuid4()
        token = Tokens(settings.token_keys, issue="paseto").issue(
            ACCESS,
            username="alice",
            roles=["depositor"],
            session_id=self.session_id,
            expires_at=datetime.now(UTC) + timedelta(hours=1),
        )
        self._url = f"http://127.0.0.1:{running.http.port}/v1/transfers"
        self._headers = {"Authorization": f"Bearer {token.token}"}
        self._body = {"from_account_id": pair[0], "to_account_id": pair[1], "amount": 1, "currency": "USD"}

    async def transfer(self) -> httpx.Response:
        async with httpx.AsyncClient(headers=self._headers, timeout=10) as client:
            return await client.post(self._url, json=self._body)

    async def transfer_until(self, status: int) -> httpx.Response:
        with trio.fail_after(10):
            while True:
                answer = await self.transfer()
                if answer.status_code == status:
                    return answer
                await trio.sleep(0.05)

    def child(self, *path: str) -> ChildStatistics:
        node = self.root.statistics()
        for name in path:
            (node,) = (each for each in node.children if each.name.partition(" (")[0] == name)
        return node

    async def restarted(self, *path: str, times: int) -> None:
        with trio.fail_after(20):
            while self.child(*path).restarts < times:
                await trio.sleep(0.02)


@asynccontextmanager
async def bank(settings, database_url, redis_url, pair):
    async with (
        open_service(settings, database_url=database_url, redis_url=redis_url) as running,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(running.root.run)
        yield Bank(running, settings, pair)
        running.root.stop()


def crash_times(monkeypatch, cls, times: float, *, ready: bool) -> None:
    """`cls.run` crashes so many times, after or before it has said that it is ready, and then works."""
    real, crashes = cls.run, 0

    async def run(self, *, task_status=trio.TASK_STATUS_IGNORED):
        nonlocal crashes
        if crashes < times:
            crashes += 1
            if ready:
                task_status.started()
                await trio.lowlevel.checkpoint()
            raise Crash
        await real(self, task_status=task_status)

    monkeypatch.setattr(cls, "run", run)


@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize(
    ("cls", "name"),
    [(EmailActor, "email"), (OutboxRelay, "outbox relay"), (Sweeper, "sweeper"), (Feed, "feed")],
)
async def test_what_only_serves_money_may_crash_on_and_on(
    monkeypatch, settings, database_url, redis_url, pair, cls, name, ready
):
    crash_times(monkeypatch, cls, 5, ready=ready)
    async with bank(settings, database_url, redis_url, pair) as service:
        while service.child("background", name).restarts < 5:
            assert (await service.transfer()).status_code == 201
        with trio.fail_after(5):
            while not service.child("background", name).running:
                await trio.sleep(0.02)
        for path in (("background",), ("ledger",), ("servers",), ("servers", "http"), ("ledger", "lane 1")):
            assert service.child(*path).restarts == 0


async def test_sessions_are_read_from_the_database_at_every_restart(
    monkeypatch, settings, database, database_url, redis_url, pair
):
    """Whatever ends `revocations` again and again: a session that was ended is not believed."""

    async def broken(self):
        raise Crash

    monkeypatch.setattr(Revocations, "_share", broken)
    monkeypatch.setattr(revocations, "POLL_S", 0.01)
    async with bank(settings, database_url, redis_url, pair) as service:
        assert (await service.transfer()).status_code == 201
        database.execute(
            "insert into sessions (id, username, refresh_token_hash, user_agent, client_address, expires_at, ended_at)"
            " values (%s, 'alice', '\\x00', '', '', now() + interval '1 day', now())",
            [service.session_id],
        )
        answer = await service.transfer_until(401)
        assert answer.json()["code"] == "session_revoked"
        assert service.child("background", "revocations").restarts > 0
        assert service.child("background").restarts == service.child("servers").restarts == 0


async def test_without_knowing_which_sessions_ended_nobody_is_let_in(
    monkeypatch, settings, database_url, redis_url, pair
):
    monkeypatch.setattr(revocations, "BELIEVED_S", 1.0)
    crash_times(monkeypatch, Revocations, 4, ready=False)
    async with bank(settings, database_url, redis_url, pair) as service:
        answer = await service.transfer()
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        await service.restarted("background", "revocations", times=4)
        assert (await service.transfer_until(201)).status_code == 201


async def test_a_ledger_that_was_restarted_takes_transfers_again(
    monkeypatch, settings, database_url, redis_url, pair
):
    real, broken = Lane._commit, True

    async def commit(self, messages):
        if broken:
            raise Crash
        await real(self, messages)

    monkeypatch.setattr(Lane, "_commit", commit)
    async with bank(settings, database_url, redis_url, pair) as service:
        while service.child("ledger").restarts == 0:
            answer = await service.transfer()
            assert (answer.status_code, answer.json()["code"]) in ((503, "unavailable"), (503, "shutting_down"))
        broken = False
        await service.transfer_until(201)
        assert (await service.transfer()).status_code == 201
        assert service.child("servers").restarts == service.child("background").restarts == 0


async def test_a_server_that_crashes_is_restarted_alone(monkeypatch, settings, database_url, redis_url, pair):
    crash_times(monkeypatch, GrpcServer, 1, ready=True)
    async with bank(settings, database_url, redis_url, pair) as service:
        await service.restarted("servers", "grpc", times=1)
        assert (await service.transfer()).status_code == 201
        assert service.child("servers", "http").restarts == service.child("servers").restarts == 0


async def test_a_ledger_that_can_not_be_kept_up_is_an_orderly_drain(
    monkeypatch, settings, database_url, redis_url, capsys
):
    crash_times(monkeypatch, Lane, float("inf"), ready=True)
    drained = []
    monkeypatch.setattr(serve.Running, "announce_drain", lambda running: drained.append(running.root))
    with trio.fail_after(20):
        status = await serve._serve(
            settings,
            database_url,
            redis_url,
            EmbeddedServers(settings.var_dir),
            Interrupts(lambda: pytest.fail("nobody asked")),
        )
    assert status == 1
    assert len(drained) == 1
    assert capsys.readouterr().out.endswith("stopped\n")


async def test_the_root_gives_up_with_the_reason(monkeypatch, settings, database_url, redis_url, pair):
    crash_times(monkeypatch, Lane, float("inf"), ready=True)
    async with open_service(settings, database_url=database_url, redis_url=redis_url) as running:
        with trio.fail_after(20), pytest.raises(RestartIntensityExceeded, match="service: ledger"):
            await running.root.run()
