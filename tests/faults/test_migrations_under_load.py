"""Migrations while money moves: the release before the newest version of the schema serves on, and nobody notices.

The release before is this repository's own, as its main line was before that version came in: `git archive` of it, run
with today's dependencies. A clone with `--depth` has no such history: there it says that nothing is shown.
"""

from __future__ import annotations

import random
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path

import psycopg
import pytest
import trio

from cli.drill.installation import COMMAND, ENV_OF_OURS, ROOT
from cli.drill.judge import Verdict
from cli.drill.mails import all_sent
from cli.drill.rolling import TRANSFER_S, behind_one_address
from cli.drill.stage import Stage, none_failed, open_stage
from migrations import newest_version
from migrations import run as migrations
from tests.support.ledger_rows import POST

SEED = 11
PHASE_S = 2.0
WRITERS = 4
WRITE_PAUSE_S = 0.02
"""Without it 0006, which locks three tables one after the other, would have to try for long."""
WRITTEN_WITHIN_S = 30.0
WRITE_S_MAX = 5.0
FIRST_WITH_A_LEDGER = 5


def git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, f"this test needs the clone's whole history: {done.stderr.decode()}"
    return done.stdout


@pytest.fixture
def release_before(tmp_path: Path) -> Path | None:
    """The code that served before the newest version of the schema, in a folder; None where there is no history."""
    if git("rev-parse", "--is-shallow-repository").strip() == b"true":
        return None
    (newest,) = (ROOT / "migrations" / "versions").glob(f"{newest_version()}_*.py")
    added = ["log", "--first-parent", "-m", "--diff-filter=A", "--format=%H", "-1"]
    commit = git(*added, "--", str(newest.relative_to(ROOT))).decode().strip()
    before = f"{commit}^1" if commit else "HEAD"  # it may not be committed yet
    code = tmp_path / "before"
    with tarfile.open(fileobj=BytesIO(git("archive", "--format=tar", before))) as archive:
        archive.extractall(code, filter="data")
    return code


def test_a_release_replaces_the_one_before_it_while_the_schema_moves(
    release_before: Path | None, tmp_path: Path
) -> None:
    if release_before is None:
        print("NOT SHOWN: this clone has no history, and so no release before this one")
        return
    versions = release_before / "migrations" / "versions"
    assert not list(versions.glob(f"{newest_version()}_*.py"))
    folder = tmp_path / "installation"
    folder.mkdir()
    for verdict in trio.run(partial(replaced, folder, release_before)):
        print(verdict)
        assert verdict.kept, verdict


async def replaced(folder: Path, before: Path) -> list[Verdict]:
    """Under load: migrate, start the new release beside the old one, lead all to the new one, end the old one."""
    async with open_stage(folder, random.Random(SEED), PHASE_S, code=before) as stage:
        old, new = stage.service, stage.one_more(ROOT)
        attempts = stage.load.history.attempts
        async with behind_one_address(stage, [old, new]), stage.under_load(registrations=True):
            await trio.sleep(PHASE_S)
            assert await migrated(stage) == 0
            moved, registered = len(attempts), len(stage.load.history.addresses)
            await trio.sleep(PHASE_S)
            assert len(attempts) > moved, "the old release moves no money on the new schema"
            assert len(stage.load.history.addresses) > registered, "nor registers anybody"
            await new.start()
            await new.wait_ready()
            await trio.sleep(PHASE_S)
        # No new connection reaches the old one any more, as no balancer leads to a pod that is to end.
        stage.load.addresses = [(new.http_port, new.grpc_port)]
        async with stage.under_load():
            old.signal(signal.SIGTERM)
            assert await stage.ended(old) == 0
            await trio.sleep(PHASE_S)
        return [
            none_failed(attempts, "a release that replaces another on a schema that moves", TRANSFER_S),
            await all_sent(stage.installation.mail, stage.load.history.addresses),
            *await stage.judged(),
            Verdict("the books are in order", await audited(stage) == 0, "transactions audit"),
        ]


async def migrated(stage: Stage) -> int:
    return await ours(stage, "migrate", "up")


async def audited(stage: Stage) -> int:
    return await ours(stage, "audit")


async def ours(stage: Stage, *command: str) -> int:
    """A command of today's release on the stage's database."""
    env = {name: stage.service.environment[name] for name in ENV_OF_OURS if name in stage.service.environment}
    env["DATABASE_URL"] = stage.database_url
    done = await trio.run_process([*COMMAND, *command], cwd=ROOT, env=env, check=False, capture_stdout=True)
    return done.returncode


# What the release before each version wrote, as far as it can be said in SQL: run against every version, one by one.
# Each statement began with the version that is named, and must go on through all later ones.

WRITES: list[tuple[int, str, Callable[[int, int], dict[str, object]]]] = [
    (
        1,
        "insert into users (username, full_name, email, password_hash) "
        "values (%(name)s, 'N', %(name)s || '@example.com', 'x')",
        lambda writer, number: {"name": f"writer_{writer}_{number}"},
    ),
    (
        2,
        "insert into sessions (id, username, refresh_token_hash, user_agent, client_address, expires_at) "
        "values (gen_random_uuid(), 'alice', sha256(%(secret)s), '', '', now() + interval '1 day')",
        lambda writer, number: {"secret": f"{writer}-{number}".encode()},
    ),
    (
        7,
        "insert into idempotency_records (username, key, fingerprint, refusal, created_at) "
        "values ('alice', %(key)s, 'x', 'insufficient_funds', now())",
        lambda writer, number: {"key": f"{writer}-{number}"},
    ),
    (8, "insert into outbox (kind, sealed) values ('verify_email', 'x')", lambda writer, number: {}),
    (
        11,
        "insert into security_events (kind, username) values ('login', 'alice')",
        lambda writer, number: {},
    ),
]


class Writer:
    """Moves money between two accounts of its own, and writes what else there was to write before a version."""

    def __init__(self, database_url: str, number: int, version: int) -> None:
        self._number, self._version = number, version
        self._connection = psycopg.connect(database_url, autocommit=True)
        self._pair = tuple(
            self._connection.execute(
                "insert into accounts (owner, currency, overdraft_limit) values ('alice', 'USD', 1000000) returning id"
            ).fetchone()[0]
            for _ in range(2)
        )
        self.done = 0
        self.slowest_s = 0.0
        self.fault: Exception | None = None

    def write(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                began = time.monotonic()
                self._once(self.done + 1)
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.done += 1
                time.sleep(WRITE_PAUSE_S)
        except psycopg.Error as fault:
            self.fault = fault
        finally:
            self._connection.close()

    def _once(self, number: int) -> None:
        values = {"a": self._pair[0], "b": self._pair[1], "a_seq": number, "b_seq": number, "amount": 1}
        values |= {
            "id": number * WRITERS + self._number,
            "currency": "USD",
            "a_after": -number,
            "b_after": number,
        }
        with self._connection.transaction():
            # In the service's order: accounts, then the time, which is read after the lock.
            self._connection.execute(
                "select from accounts where id in (%(a)s, %(b)s) order by id for update", values
            )
            now = self._connection.execute("select clock_timestamp()").fetchone()[0]
            self._connection.execute(POST, {**values, "at": now})
        unique = 1_000 * self._version + number
        for since, statement, values_of in WRITES:
            if since <= self._version:
                self._connection.execute(statement, values_of(self._number, unique))


@contextmanager
def writing(database_url: str, version: int) -> Iterator[list[Writer]]:
    """The load of the release that was before the next version, for the block."""
    writers = [Writer(database_url, number, version) for number in range(WRITERS)]
    stop = threading.Event()
    threads = [threading.Thread(target=writer.write, args=[stop]) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        yield writers
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def moved_on(writers: list[Writer], transfers: int = 5) -> None:
    """Every one of them has written so often from now on, or has failed."""
    aims = [writer.done + transfers for writer in writers]
    deadline = time.monotonic() + WRITTEN_WITHIN_S
    while any(writer.done < aim and writer.fault is None for writer, aim in zip(writers, aims, strict=True)):
        assert time.monotonic() < deadline, "nobody writes any more"
        time.sleep(0.01)


@pytest.mark.parametrize("version", range(FIRST_WITH_A_LEDGER + 1, int(newest_version()) + 1))
def test_what_the_release_before_wrote_is_written_while_a_version_is_applied_and_after(
    empty_database_url: str, version: int
) -> None:
    migrations.up(empty_database_url, f"{version - 1:04}")
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(
            "insert into users (username, full_name, email, password_hash) values ('alice', 'A', 'a@b.cd', 'x')"
        )
    with writing(empty_database_url, version - 1) as writers:
        moved_on(writers)
        migrations.up(empty_database_url, f"{version:04}")
        moved_on(writers)
    faults = {writer.fault for writer in writers} - {None}
    slowest_s = max(writer.slowest_s for writer in writers)
    print(f"{version:04}: {sum(writer.done for writer in writers)} transfers, the slowest {slowest_s:.3f} s")
    assert not faults
    assert slowest_s < WRITE_S_MAX
