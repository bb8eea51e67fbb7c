"""PostgreSQL is away, or says nothing any more: every operation says so, soon, over all three ways in."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import grpc
import httpx
import psycopg
import pytest

from domain.policy import Role
from infra.local.postgres import LocalPostgres
from migrations import run as migrations
from tests.attacks.asking import ROUTES
from tests.support.service import PASSWORD, ServiceProcess
from tests.support.ways import GATEWAY, GRPC, V1, Way

SOON_S = 12.0
"""A request's ten seconds, and what a busy machine needs to tell of their end."""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory) -> Iterator[LocalPostgres]:
    folder = tmp_path_factory.mktemp("away")
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)
    server = LocalPostgres(folder / "postgres")
    server.start()
    server.create_database("transactions")
    migrations.up(server.url())
    yield server
    server.stop()


@pytest.fixture
def away(postgres, redis_url, tmp_path) -> Iterator[ServiceProcess]:
    service = ServiceProcess(tmp_path, postgres.url(), redis_url).start()
    yield service
    assert service.stop() == 0
    assert "Traceback" not in service.log.read_text()


def questions(name: str, account: int) -> dict[str, dict[str, object]]:
    """Every operation, well-formed, so that only PostgreSQL could answer."""
    money = {"from_account_id": account, "to_account_id": account + 1, "amount": 1, "currency": "USD"}
    somebody = {"username": f"new_{name}", "full_name": "New One", "email": "new@example.com"}
    fields: dict[str, dict[str, object]] = {
        "CreateUser": {**somebody, "password": PASSWORD},
        "GetUser": {"username": name},
        "UpdateUser": {"username": name, "full_name": "X"},
        "LoginUser": {"username": name, "password": PASSWORD},
        "RevokeSession": {"id": str(uuid4())},
        "VerifyEmail": {"email_id": str(uuid4()), "secret_code": "c" * 43},
        "ResendVerification": {"email": f"{name}@example.com"},
        "RequestPasswordReset": {"email": f"{name}@example.com"},
        "ConfirmPasswordReset": {"reset_id": str(uuid4()), "secret_code": "c" * 43, "password": PASSWORD},
        "CreateAccount": {"currency": "USD"},
        "GetAccount": {"id": account},
        "ListEntries": {"account_id": account},
        "Deposit": {"account_id": account, "amount": 1},
        "Withdraw": {"account_id": account, "amount": 1},
        "CreateTransfer": money,
        "GetTransfer": {"id": account},
    }
    return {operation: fields.get(operation, {}) for operation in ROUTES}


class Asker:
    """Somebody with a token, an account and a session, who asks everything at once over all three ways."""

    def __init__(self, service: ServiceProcess, channel: grpc.Channel, http: httpx.Client) -> None:
        self._of = service, channel, http
        preparing = self._way(V1)
        preparing.user()
        with psycopg.connect(service.database_url) as connection:
            connection.execute("update users set roles = %s", [list(Role)])
        self.account = preparing.account(funds=100)
        preparing.account()
        self._questions = questions(preparing.name("alice"), self.account)
        login = {"username": preparing.name("alice"), "password": PASSWORD}
        session = preparing.ask("LoginUser", **login)
        self.token = session["access_token"]
        self._questions["RenewAccess"] = {"refresh_token": session["refresh_token"]}

    def _way(self, kind: str) -> Way:
        return Way(kind, *self._of)

    def ask(self, kind: str, operation: str) -> tuple[str, float]:
        """The code of the answer, and the seconds it took."""
        way, began = self._way(kind), time.monotonic()
        way.ask(operation, self.token, **self._questions[operation])
        return way.told[-1].code, time.monotonic() - began

    def ask_everything(self) -> dict[tuple[str, str], tuple[str, float]]:
        asked = [(kind, operation) for kind in (V1, GATEWAY, GRPC) for operation in self._questions]
        with ThreadPoolExecutor(len(asked)) as threads:
            return dict(zip(asked, threads.map(lambda each: self.ask(*each), asked), strict=True))


@pytest.fixture
def asker(away) -> Iterator[Asker]:
    limits = httpx.Limits(max_connections=None)
    with (
        grpc.insecure_channel(away.grpc) as channel,
        httpx.Client(base_url=away.http, timeout=30, limits=limits) as http,
    ):
        yield Asker(away, channel, http)


@contextmanager
def silent(postgres: LocalPostgres) -> Iterator[None]:
    """The server and all that serve its clients neither answer nor hang up."""
    with psycopg.connect(postgres.url()) as connection:
        rows = connection.execute(
            "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
        ).fetchall()
        (postmaster,) = connection.execute("select pg_read_file('postmaster.pid')").fetchone()
    stopped = [int(postmaster.split()[0]), *(pid for (pid,) in rows)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def recovers(asker: Asker) -> None:
    """Soon, and not at once: connections are made again, and it has to be read which sessions have ended meanwhile."""
    deadline = time.monotonic() + 10
    for kind in (V1, GATEWAY, GRPC):
        while (code := asker.ask(kind, "CreateTransfer")[0]) != "ok":
            assert code == "unavailable"
            assert time.monotonic() < deadline


def test_while_the_database_is_away_every_operation_is_unavailable(postgres, away, asker):
    postgres.stop()
    try:
        answers = asker.ask_everything()
        ready = httpx.get(f"{away.http}/readyz")
        refused = httpx.get(
            f"{away.http}/v1/accounts/{asker.account}", headers={"Authorization": f"Bearer {asker.token}"}
        )
    finally:
        postgres.start()
    assert {key: code for key, (code, _) in answers.items() if code != "unavailable"} == {}
    assert max(took_s for _, took_s in answers.values()) < SOON_S
    assert ready.status_code == 503
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    recovers(asker)


def test_a_silent_database_keeps_nobody_waiting_for_longer_than_a_request_may_take(postgres, away, asker):
    with silent(postgres):
        answers = asker.ask_everything()
        assert httpx.get(f"{away.http}/readyz", timeout=5).status_code == 503
    codes = {code for code, _ in answers.values()}
    assert codes <= {"unavailable", "deadline_exceeded"}, answers
    assert max(took_s for _, took_s in answers.values()) < SOON_S
    recovers(asker)
