"""Stolen, reused and outlived sessions against two running services on one database, over both transports.

The first service issues PASETOs and the second JWTs. They share a Redis of their own, which tests take away.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from threading import Barrier, Event
from uuid import uuid4

import grpc
import psycopg
import pytest
from psycopg import sql

from application.sessions import SESSIONS_MAX
from infra.local.redis import LocalRedis
from proto.transactions.v2 import ledger_pb2 as pb
from tests.attacks.clients import OK, Answer, Client, Clients, Login, bearer, mailed, serving
from tests.support.service import PASSWORD, open_accounts

SECRET = bytes(range(32)).hex()
NEW_PASSWORD = "another horse battery"
DEAD_WITHIN_S = 5.0
PATIENCE_S = 30.0
RACES = 40
PASSWORD_RACES = 6
OVER = ("session_revoked", "token_expired")
NO_REDIS = "redis://127.0.0.1:1/0"
"""Where no Redis is."""
over_both = pytest.mark.parametrize("transport", ["http", "grpc"])
_numbers = count(1)


@dataclass
class Bank:
    """Two services, and who may look after them."""

    first: Clients
    second: Clients
    redis: LocalRedis
    database: psycopg.Connection
    admin: str = ""

    @property
    def place(self) -> tuple[Path, str]:
        """The folder and the database of all services: whichever of them sends a mail, it is found."""
        return self.first.service.var_dir, self.first.service.database_url

    def user(self) -> str:
        return self.first.service.register(f"holder{next(_numbers)}", verified=False)

    def clients(self, transport: str) -> tuple[Client, Client]:
        return self.first.over(transport), self.second.over(transport)

    @property
    def everywhere(self) -> list[Client]:
        return [self.first.http, self.first.grpc, self.second.http, self.second.grpc]

    def reset_code(self, name: str) -> tuple[str, str]:
        assert self.first.http.ask_for_reset(f"{name}@example.com").error == OK
        return mailed(self.first.service, f"{name}@example.com", "reset_id")

    def confirm_reset(self, reset_id: str, code: str) -> None:
        assert self.first.http.reset_password(reset_id, code, NEW_PASSWORD).error == OK

    def events(self, transport: str, name: str) -> Counter[str]:
        """How often each kind of event happened to a user."""
        answer = self.first.over(transport).events(self.admin, name)
        assert answer.error == OK, answer
        return Counter(item["kind"] for item in answer.body["items"])


@pytest.fixture(scope="module")
def bank(postgres_server, servers_folder, migrated_template, tmp_path_factory) -> Iterator[Bank]:
    postgres_server.create_database("attacked_sessions", template=migrated_template)
    url = postgres_server.url("attacked_sessions")
    redis = LocalRedis(servers_folder / "attacked_redis")
    redis.start()
    folder = tmp_path_factory.mktemp("attacked_sessions")
    keys = {"TOKEN_SYMMETRIC_KEY": SECRET}
    keeper = {"BOOTSTRAP_ADMIN_USERNAME": "keeper", "BOOTSTRAP_ADMIN_PASSWORD": PASSWORD}
    with (
        serving(folder, url, redis.url, TOKEN_FORMAT="paseto", **keys, **keeper) as first,
        serving(folder, url, redis.url, TOKEN_FORMAT="jwt", **keys) as second,
        psycopg.connect(url, autocommit=True) as database,
    ):
        made = Bank(first, second, redis, database)
        made.admin = first.http.login("keeper").login.access
        yield made
    redis.stop()


class Latecomer:
    """A third service, whose Redis was never there; and what it knew of older sessions when it had just started."""

    def __init__(self, clients: Clients, ended: Login, alive: Login) -> None:
        self.clients = clients
        self.thought_dead = [
            is_dead(client, login.access) for login in (ended, alive) for client in (clients.http, clients.grpc)
        ]


@pytest.fixture(scope="module")
def latecomer(bank) -> Iterator[Latecomer]:
    name, client = bank.user(), bank.first.http
    ended, alive = client.login(name).login, client.login(name).login
    assert client.logout(ended.access).error == OK
    with serving(*bank.place, NO_REDIS, TOKEN_SYMMETRIC_KEY=SECRET) as clients:
        yield Latecomer(clients, ended, alive)


@pytest.fixture(params=["Redis there", "Redis away", "Redis away from who ends it"])
def ender(bank: Bank, latecomer: Latecomer, request: pytest.FixtureRequest) -> Iterator[Clients]:
    """The service that ends sessions; the second one is to hear of it."""
    if request.param == "Redis away":
        bank.redis.kill()
    yield latecomer.clients if request.param == "Redis away from who ends it" else bank.first
    if request.param == "Redis away":
        bank.redis.start()


def is_dead(client: Client, access: str) -> bool:
    answer = client.sessions(bearer(access))
    assert answer.error in (OK, *OVER), answer
    return answer.error != OK


def died_after_s(client: Client, access: str, since: float) -> float:
    """When the last request that was still let in was sent, in seconds after `since`."""
    last = 0.0
    while time.monotonic() < since + PATIENCE_S:
        sent_at = time.monotonic()
        if is_dead(client, access):
            return last
        last = sent_at - since
        time.sleep(0.1)
    raise AssertionError("it never died")


def assert_is_over(clients: tuple[Client, ...], login: Login, since: float) -> None:
    """Neither token of a session is good for anything, in any process."""
    for client in clients:
        assert died_after_s(client, login.access, since) <= DEAD_WITHIN_S
        assert client.renew(login.refresh).error == "session_revoked"


# Reuse


@over_both
def test_a_refresh_token_used_twice_ends_its_family_and_no_other(bank, transport):
    (first, second), name = bank.clients(transport), bank.user()
    stolen, other = first.login(name).login, first.login(name).login
    generations = [stolen]
    for client in (first, second, first):
        generations.append(client.renew(generations[-1].refresh).login)
        assert generations[-1].session == stolen.session
    assert len({login.refresh for login in generations}) == len({login.access for login in generations}) == 4
    assert not any(is_dead(client, login.access) for client in (first, second) for login in generations)
    assert bank.events(transport, name)["refresh_reused"] == 0

    since = time.monotonic()
    assert second.renew(generations[1].refresh).error == "session_revoked"
    assert is_dead(second, generations[-1].access), "the process that found it out waits for nobody"
    for login in generations:
        assert_is_over((first, second), login, since)
    assert bank.events(transport, name) == Counter({"user_created": 1, "login": 2, "refresh_reused": 1}), (
        "a token of a session that is over tells nothing new"
    )
    assert not is_dead(first, other.access)
    assert first.renew(other.refresh).login.session == other.session


@over_both
def test_a_refresh_token_is_one_use_across_transports_and_processes(bank, transport):
    name = bank.user()
    made = bank.first.over(transport).login(name).login
    there, elsewhere = (
        (bank.first.http, bank.second.grpc) if transport == "http" else (bank.second.grpc, bank.first.http)
    )
    newest = there.renew(made.refresh).login
    since = time.monotonic()
    assert elsewhere.renew(made.refresh).error == "session_revoked"
    assert_is_over((there, elsewhere), newest, since)


def alive(bank: Bank, name: str) -> int:
    """How many sessions of a user have not been ended."""
    row = bank.database.execute(
        "select count(*) from sessions where username = %s and ended_at is null", [name]
    ).fetchone()
    assert row is not None
    return row[0]


def at_once(*asked: Callable[[], Answer]) -> list[Answer]:
    """Ask all of these at the same moment, each in a thread of its own."""
    ready = Barrier(len(asked))

    def ask(one: Callable[[], Answer]) -> Answer:
        ready.wait(PATIENCE_S)
        return one()

    with ThreadPoolExecutor(len(asked)) as threads:
        return list(threads.map(ask, asked))


def test_of_refreshes_at_once_never_two_branches_live(bank):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw, everywhere, name = random.Random(seed), bank.everywhere, bank.user()
    branches = []
    for made in [draw.choice(everywhere).login(name).login for _ in range(RACES)]:
        clients = draw.choices(everywhere, k=draw.choice((2, 2, 3, 4)))
        answers = at_once(*(partial(client.renew, made.refresh) for client in clients))
        assert Counter(answer.error for answer in answers) == {OK: 1, "session_revoked": len(clients) - 1}, seed
        branch = next(answer.login for answer in answers if answer.error == OK)
        branches.append((branch, time.monotonic()))
        # The other use was the second, whichever of them it was.
        assert draw.choice(everywhere).renew(branch.refresh).error == "session_revoked", seed
    for branch, since in branches:
        assert died_after_s(draw.choice(everywhere), branch.access, since) <= DEAD_WITHIN_S, seed
    assert bank.events("http", name)["refresh_reused"] > 0
    assert alive(bank, name) == 0, seed


# The end of a session, in every way there is


def renewed_twice(client: Client, login: Login) -> Answer:
    renewed = client.renew(login.refresh)
    assert client.renew(login.refresh).error == "session_revoked"
    return renewed


Ending = Callable[[Bank, Client, str, Login], Answer | None]
ENDINGS: dict[str, Ending] = {
    "logout": lambda bank, client, name, login: client.logout(login.access),
    "logout everywhere": lambda bank, client, name, login: client.logout(
        client.login(name).login.access, everywhere=True
    ),
    "revoked": lambda bank, client, name, login: client.end(client.login(name).login.access, login.session),
    "revoked by itself": lambda bank, client, name, login: client.end(login.access, login.session),
    "password changed": lambda bank, client, name, login: client.change_password(
        login.access, name, NEW_PASSWORD
    ),
    "password changed by an admin": lambda bank, client, name, login: client.change_password(
        bank.admin, name, NEW_PASSWORD
    ),
    "refresh token reused": lambda bank, client, name, login: renewed_twice(client, login),
    "roles changed": lambda bank, client, name, login: bank.first.grpc.grant(
        bank.admin, name, "depositor", "auditor"
    ),
    "disabled": lambda bank, client, name, login: bank.first.grpc.grant(bank.admin, name),
}


@over_both
def test_what_ends_a_session_ends_it_in_every_process_within_five_seconds(bank, transport, ender, request):
    here, there = ender.over(transport), bank.second.over(transport)
    logins, watched = {}, {}
    with ThreadPoolExecutor(len(ENDINGS)) as threads:
        for way, end in ENDINGS.items():
            name = bank.user()
            login = logins[way] = here.login(name).login
            assert not is_dead(there, login.access)
            assert (
                end(Bank(ender, bank.second, bank.redis, bank.database, bank.admin), here, name, login).error
                == OK
            )
            watched[way] = threads.submit(died_after_s, there, login.access, time.monotonic())
            assert is_dead(here, login.access), f"{way}: the process that ended it waits for nobody"
    after_s = {way: each.result() for way, each in watched.items()}
    print(f"\n{request.node.callspec.id}: the last request let in elsewhere was sent after (s)")
    print("\n".join(f"  {seconds:5.2f}  {way}" for way, seconds in after_s.items()))
    assert max(after_s.values()) <= DEAD_WITHIN_S, after_s
    answers = {way: there.renew(login.refresh).error for way, login in logins.items()}
    assert answers == dict.fromkeys(ENDINGS, "session_revoked")


def open_streams(
    channel: grpc.Channel, access: str, accounts: list[int], over: Event
) -> list[Iterator[object]]:
    """Both calls that have no end of their own, each of which has been answered once."""
    money = {"from_account_id": accounts[0], "to_account_id": accounts[1], "amount": 1, "currency": "USD"}

    def one_and_then_nothing() -> Iterator[pb.StreamTransfersRequest]:
        yield pb.StreamTransfersRequest(transfer=pb.TransferOrder(**money))
        over.wait(PATIENCE_S)

    metadata = [("authorization", f"Bearer {access}")]
    transfers = channel.stream_stream(
        "/transactions.v2.Ledger/StreamTransfers",
        request_serializer=pb.StreamTransfersRequest.SerializeToString,
        response_deserializer=pb.StreamTransfersResponse.FromString,
    )(one_and_then_nothing(), metadata=metadata)
    assert next(transfers).outcome.transfer_id
    watching = channel.unary_stream(
        "/transactions.v2.Ledger/WatchAccount",
        request_serializer=pb.WatchAccountRequest.SerializeToString,
        response_deserializer=pb.WatchAccountResponse.FromString,
    )(pb.WatchAccountRequest(account_id=accounts[0]), metadata=metadata)
    assert next(watching).entry.seq == 1
    return [transfers, watching]


def end_of(stream: Iterator[object]) -> tuple[str, float]:
    """What a call that says nothing more ends with, and when."""
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    return dict(caught.value.trailing_metadata())["error-code"], time.monotonic()


def test_streams_end_in_every_process_within_five_seconds_of_their_session(bank, ender, request):
    there, over, ends, watched = bank.second.service, Event(), {}, {}
    with ThreadPoolExecutor(2 * len(ENDINGS)) as threads, grpc.insecure_channel(there.grpc) as channel:
        for way, end in ENDINGS.items():
            name = bank.user()
            bank.database.execute("update users set is_email_verified = true where username = %s", [name])
            login = ender.http.login(name).login
            accounts = open_accounts(there.database_url, name, 2, overdraft=1)
            streams = open_streams(channel, login.access, accounts, over)
            place = Bank(ender, bank.second, bank.redis, bank.database, bank.admin)
            watched[way] = [threads.submit(end_of, each) for each in streams]
            assert end(place, ender.http, name, login).error == OK
            ends[way] = time.monotonic()
        seen = {way: [each.result(PATIENCE_S) for each in both] for way, both in watched.items()}
        over.set()
    after_s = {way: [at - ends[way] for _, at in both] for way, both in seen.items()}
    print(f"\n{request.node.callspec.id}: streams ended after (s)")
    print("\n".join(f"  {transfers:5.2f} {watch:5.2f}  {way}" for way, (transfers, watch) in after_s.items()))
    assert {code for both in seen.values() for code, _ in both} == {"session_revoked"}
    assert max(map(max, after_s.values())) <= DEAD_WITHIN_S


@over_both
@pytest.mark.parametrize("way", ENDINGS)
def test_an_ended_session_is_not_renewed(bank, transport, way):
    (first, second), name = bank.clients(transport), bank.user()
    login = first.login(name).login
    assert ENDINGS[way](bank, first, name, login).error == OK
    # At once, and in the database: no process needs to have been told.
    assert [client.renew(login.refresh).error for client in (second, first, second)] == ["session_revoked"] * 3
    assert is_dead(first, login.access)


@over_both
@pytest.mark.parametrize(("change", "role"), [("grant", "auditor"), ("revoke", "depositor")])
def test_roles_changed_at_the_command_line_end_every_session(bank, transport, change, role):
    (first, second), name = bank.clients(transport), bank.user()
    logins = [client.login(name).login for client in (first, second)]
    done = bank.first.service.run("user", change, name, role)
    since = time.monotonic()
    assert done.returncode == 0, done.stderr
    for login in logins:
        assert_is_over((first, second), login, since)


@over_both
def test_a_password_reset_ends_every_session(bank, transport):
    (first, second), name = bank.clients(transport), bank.user()
    logins = [client.login(name).login for client in (first, second)]
    code = bank.reset_code(name)
    assert not any(is_dead(first, login.access) for login in logins), "asking for it ends nothing"
    bank.confirm_reset(*code)
    since = time.monotonic()
    for login in logins:
        assert_is_over((first, second), login, since)
    assert first.login(name, PASSWORD).error == "unauthenticated"
    assert first.login(name, NEW_PASSWORD).error == OK


@over_both
def test_a_disabled_user_gets_no_session_and_is_told_so_only_with_the_password(bank, transport):
    (first, second), name = bank.clients(transport), bank.user()
    assert bank.first.grpc.grant(bank.admin, name).error == OK
    for client in (first, second):
        assert client.login(name).error == "permission_denied"
        assert client.login(name, NEW_PASSWORD) == client.login("nobody_at_all", NEW_PASSWORD)
    assert bank.first.grpc.grant(bank.admin, name, "depositor").error == OK
    assert second.login(name).error == OK


@over_both
def test_new_roles_count_from_the_next_login_on(bank, transport):
    (first, _), name = bank.clients(transport), bank.user()
    before = first.login(name).login
    assert first.events(before.access, name).error == "permission_denied"
    assert bank.first.grpc.grant(bank.admin, name, "auditor").error == OK
    assert first.events(before.access, name).error == first.renew(before.refresh).error == "session_revoked"
    after = first.login(name).login
    assert first.events(after.access, name).error == OK
    assert first.events(first.renew(after.refresh).login.access, name).error == OK


def test_a_process_that_starts_later_knows_what_was_ended_before(latecomer):
    assert latecomer.thought_dead == [True, True, False, False]


OTHERS = """
insert into sessions (id, username, refresh_token_hash, user_agent, client_address, last_used_at, expires_at)
select gen_random_uuid(), %s, sha256(gen_random_uuid()::text::bytea), '', '', now() + interval '1 minute',
       now() + interval '1 hour'
from generate_series(1, %s)
"""


@over_both
def test_one_login_too_many_ends_the_session_that_was_unused_for_longest(bank, transport):
    (first, second), name = bank.clients(transport), bank.user()
    unused, used = (first.login(name).login for _ in range(2))
    bank.database.execute(OTHERS, [name, SESSIONS_MAX - 2])  # a clock that goes wrong used them after this
    assert not any(is_dead(second, login.access) for login in (unused, used))
    newest = first.login(name).login
    since = time.monotonic()
    assert_is_over((first, second), unused, since)
    listed = [item["id"] for item in second.sessions(bearer(newest.access)).body["items"]]
    assert {used.session, newest.session} <= set(listed)
    assert len(listed) == alive(bank, name) == SESSIONS_MAX


def test_logins_at_once_leave_no_more_sessions_than_there_may_be(bank):
    name = bank.user()
    bank.database.execute(OTHERS, [name, SESSIONS_MAX - 1])
    answers = at_once(*(partial(client.login, name) for client in bank.everywhere * 2))
    assert {answer.error for answer in answers} == {OK}
    assert alive(bank, name) == SESSIONS_MAX


# Others' sessions


@over_both
def test_another_users_sessions_are_neither_listed_nor_ended(bank, transport):
    (first, second), victim, attacker = bank.clients(transport), bank.user(), bank.user()
    theirs, own = first.login(victim).login, second.login(attacker).login
    for token in (own.access, bank.admin):
        listed = {item["id"] for item in first.sessions(bearer(token)).body["items"]}
        assert theirs.session not in listed
        foreign, unknown = first.end(token, theirs.session), first.end(token, str(uuid4()))
        assert foreign == unknown
        assert foreign.error == "not_found"
        for odd in ("0", "x", "%00", theirs.session + "0", "' or 1=1 --"):
            assert first.end(token, odd).error == "not_found", odd
    assert {item["id"] for item in first.sessions(bearer(own.access)).body["items"]} == {own.session}
    assert not is_dead(second, theirs.access)
    assert second.renew(theirs.refresh).error == OK
    assert second.end(own.access, own.session).error == OK
    assert second.end(second.login(attacker).login.access, own.session).error == "not_found", "it ends once"


# The absolute end


class Rotated:
    """A session of three seconds, renewed again and again until it was over."""

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self.logins = [client.login(name).login]
        self.sent_at: list[datetime] = []
        while True:
            self.sent_at.append(datetime.now(UTC))
            answer = client.renew(self.logins[-1].refresh)
            if answer.error != OK:
                break
            self.logins.append(answer.login)
            time.sleep(0.1)
        self.refused_at = datetime.now(UTC)


@pytest.fixture(scope="module")
def short_lived(bank) -> Iterator[Clients]:
    with serving(
        *bank.place, bank.redis.url, TOKEN_SYMMETRIC_KEY=SECRET, REFRESH_TOKEN_DURATION="3s"
    ) as clients:
        yield clients


@pytest.fixture(scope="module")
def rotated(bank, short_lived) -> dict[str, Rotated]:
    with ThreadPoolExecutor(2) as threads:
        begun = {
            transport: threads.submit(Rotated, bank.user(), short_lived.over(transport))
            for transport in ("http", "grpc")
        }
        return {transport: each.result(PATIENCE_S) for transport, each in begun.items()}


@over_both
def test_rotation_does_not_outlive_the_end_that_was_set_at_login(short_lived, rotated, transport):
    one, client = rotated[transport], short_lived.over(transport)
    end = one.logins[0].refresh_ends
    assert len(one.logins) > 1
    assert {login.refresh_ends for login in one.logins} == {end}
    assert max(login.access_ends for login in one.logins) <= end, (
        "no access token is meant to outlive its session"
    )
    renewed_at, refused_at = one.sent_at[:-1], one.refused_at
    assert max(renewed_at) < end <= refused_at
    for login in one.logins:
        assert client.renew(login.refresh).error in OVER


@over_both
def test_a_session_that_just_ended_by_itself_is_ended_with_the_others(bank, short_lived, rotated, transport):
    """Clocks differ, so a token is believed a little longer than it says: not longer than the password it is of."""
    client, name, newest = short_lived.over(transport), rotated[transport].name, rotated[transport].logins[-1]
    assert client.change_password(bank.admin, name, NEW_PASSWORD).error == OK
    since = time.monotonic()
    for each in (short_lived, bank.first, bank.second):
        assert died_after_s(each.over(transport), newest.access, since) <= DEAD_WITHIN_S


# Races with a change of the password


def all_wait(bank: Bank, number: int) -> bool:
    """Whether so many statements wait for a lock."""
    return bank.database.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    ).fetchone() == (number,)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@over_both
@pytest.mark.parametrize("login_first", [True, False])
def test_a_login_that_waits_for_a_password_change_opens_nothing(bank, transport, login_first):
    (first, second), name = bank.clients(transport), bank.user()
    token = first.login(name).login.access
    asked = [lambda: second.login(name), lambda: first.change_password(token, name, NEW_PASSWORD)]
    with (
        ThreadPoolExecutor(2) as threads,
        psycopg.connect(bank.first.service.database_url) as foreign,
    ):
        foreign.execute("select from users where username = %s for update", [name])
        begun = []
        for one in asked if login_first else reversed(asked):
            begun.append(threads.submit(one))
            until(partial(all_wait, bank, len(begun)))
        foreign.rollback()
        login, change = (each.result(PATIENCE_S) for each in (begun if login_first else reversed(begun)))
    since = time.monotonic()
    assert change.error == OK
    assert login.error == (OK if login_first else "unauthenticated")
    if login_first:
        assert_is_over((first, second), login.login, since)
    assert alive(bank, name) == 0


def test_no_login_that_races_with_a_password_change_leaves_a_session(bank):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw, everywhere, name = random.Random(seed), bank.everywhere, bank.user()
    old, new, outcomes = PASSWORD, NEW_PASSWORD, Counter()
    for _ in range(PASSWORD_RACES):
        changing, *others = (draw.choice(everywhere) for _ in range(5))
        token = changing.login(name, old).login.access
        change, *logins = at_once(
            partial(after, draw.uniform(0, 0.2), partial(changing.change_password, token, name, new)),
            *(partial(after, draw.uniform(0, 0.2), partial(client.login, name, old)) for client in others),
        )
        since = time.monotonic()
        assert change.error == OK, seed
        assert alive(bank, name) == 0, seed
        outcomes.update(answer.error for answer in logins)
        for answer in logins:
            if answer.error == OK:
                assert draw.choice(everywhere).renew(answer.login.refresh).error == "session_revoked", seed
                assert died_after_s(draw.choice(everywhere), answer.login.access, since) <= DEAD_WITHIN_S, seed
        old, new = new, old
    print(dict(outcomes))
    assert outcomes.total() == outcomes[OK] + outcomes["unauthenticated"] == PASSWORD_RACES * 4, seed


def after(pause_s: float, ask: Callable[[], Answer]) -> Answer:
    time.sleep(pause_s)
    return ask()


# What is stored


def stored(bank: Bank) -> dict[str, list[bytes]]:
    """Every value of every table, as text or as the bytes it is."""
    connection, found = bank.database, {}
    names = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
    for (name,) in names:
        rows = connection.execute(sql.SQL("select * from {}").format(sql.Identifier(name))).fetchall()
        found[name] = [
            bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
            for row in rows
            for value in row
        ]
    return found


def spelled(secret: str) -> list[bytes]:
    """A secret as it may have been written down."""
    raw = secret.encode()
    return [
        raw,
        raw[::-1],
        raw.hex().encode(),
        base64.b64encode(raw).rstrip(b"="),
        json.dumps(secret).encode()[1:-1],
    ]


def test_what_is_stored_holds_no_token_code_or_password(bank):
    name, waiting = bank.user(), f"holder{next(_numbers)}"
    verification = mailed(bank.first.service, f"{name}@example.com", "email_id")
    logins = [client.login(name).login for client in bank.everywhere]
    logins += [client.renew(login.refresh).login for client, login in zip(bank.everywhere, logins, strict=True)]
    reset = bank.reset_code(name)
    assert bank.first.http.login(name, "a wrong horse battery").error == "unauthenticated"
    assert bank.first.http.login("a wrong horse name", PASSWORD).error == "unauthenticated"
    bank.redis.kill()  # so that mails wait in the database
    try:
        bank.first.service.register(waiting, verified=False)
        tables = stored(bank)
    finally:
        bank.redis.start()
    unsent = mailed(bank.first.service, f"{waiting}@example.com", "email_id")

    assert {"users", "sessions", "email_verifications", "password_resets", "outbox", "security_events"} <= {
        table for table, values in tables.items() if values
    }
    tokens = [token for login in logins for token in (login.access, login.refresh)]
    # What is between the marks of a token is what makes it one.
    inner = [max(token.split("."), key=len) for token in tokens]
    signatures = [token.rpartition(".")[2] for token in tokens if token.count(".") == 2]
    codes, passwords = (
        [verification[1], reset[1], unsent[1]],
        [PASSWORD, "a wrong horse battery", "a wrong horse name"],
    )
    secrets = [*tokens, *inner, *signatures, *codes, *passwords, SECRET, bytes.fromhex(SECRET).decode()]
    others = {
        "Redis": [path.read_bytes() for path in bank.redis.folder.rglob("*.aof")],
        "log": [clients.service.log.read_bytes() for clients in (bank.first, bank.second)],
    }
    for place, values in (tables | others).items():
        for value in values:
            assert not [secret for secret in secrets if any(way in value for way in spelled(secret))], place

    # Nor is anything that is stored good for what it was made from.
    for table, (link, code), use in [
        ("email_verifications", verification, bank.first.grpc.verify_email),
        ("password_resets", reset, partial(bank.first.http.reset_password, password=NEW_PASSWORD)),
    ]:
        row = bank.database.execute(
            sql.SQL("select secret_hash from {} where id = %s").format(sql.Identifier(table)), [link]
        ).fetchone()
        assert row is not None
        assert row[0] == hashlib.sha256(code.encode()).digest()
        for written in (row[0].hex(), encoded(row[0]), "\\x" + row[0].hex()):
            assert use(link, written).error == "not_found"
    for hashed, password in bank.database.execute(
        "select refresh_token_hash, password_hash from sessions join users using (username) where username = %s",
        [name],
    ).fetchall():
        for written in (hashed.hex(), encoded(hashed)):
            assert bank.first.http.renew(written).error == "invalid_token"
        assert bank.first.http.login(name, password).error in ("unauthenticated", "invalid_argument")
    assert (
        bank.first.grpc.verify_email(*verification).error == bank.first.grpc.verify_email(*unsent).error == OK
    )
    bank.confirm_reset(*reset)


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
