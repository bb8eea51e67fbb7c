"""Point-in-time restore, as docs/operations.md has it: base backup, archived log, one moment, the books in order."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import trio

from cli.drill.installation import COMMAND, ROOT, Installation, Service, open_installation
from infra.local.postgres import LocalPostgres

LOAD_S = 1


@pytest.fixture
def archive() -> Iterator[Path]:
    """Where PostgreSQL may write, which under root runs as another user."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def test_a_restore_to_a_moment_has_what_was_committed_by_then_and_nothing_later(
    tmp_path: Path, archive: Path
) -> None:
    trio.run(_restored, tmp_path, archive)


async def _restored(folder: Path, archive: Path) -> None:
    async with open_installation(folder) as installation:
        await trio.to_thread.run_sync(_archive_into, installation.postgres, archive)
        service = installation.service("service")
        await service.start()
        await service.wait_ready()
        await _hammer(service)

        restored = LocalPostgres(folder / "restored", settings=_settings(archive))
        await trio.to_thread.run_sync(restored.follow, installation.postgres)
        await _hammer(service)
        moment = _clock(installation.postgres)
        before = _transfers(installation.postgres)
        await _hammer(service)
        assert _transfers(installation.postgres) > before
        await service.kill()
        _execute(installation.postgres, "select pg_switch_wal()")
        await trio.to_thread.run_sync(installation.postgres.stop)  # which archives all that is left

        _restore_to(restored, moment)
        try:
            await trio.to_thread.run_sync(restored.start)
            await _wait_promoted(restored)
            assert _transfers(restored) == before
            await _serves_on(installation, restored)
            assert _transfers(restored) > before
        finally:
            await trio.to_thread.run_sync(restored.stop)


def _archive_into(server: LocalPostgres, archive: Path) -> None:
    server.configure("archive_mode", "on")
    server.configure("archive_command", f"cp %p {shlex.quote(str(archive))}/%f")
    server.stop()
    server.start()


def _settings(archive: Path) -> dict[str, str]:
    return {"archive_mode": "off", "restore_command": f"cp {shlex.quote(str(archive))}/%f %p"}


def _restore_to(server: LocalPostgres, moment: datetime) -> None:
    data = server.home / "data"
    (data / "standby.signal").rename(data / "recovery.signal")
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"recovery_target_time = '{moment.isoformat()}'\nrecovery_target_action = 'promote'\n")


async def _wait_promoted(server: LocalPostgres) -> None:
    # A question at a time: a session that waits in there may be in the way of what is recovered.
    while _execute(server, "select pg_is_in_recovery()") != (False,):
        await trio.sleep(0.05)


async def _serves_on(installation: Installation, restored: LocalPostgres) -> None:
    service = installation.service("successor")
    service.environment["DATABASE_URL"] = restored.url()
    await service.start()
    await service.wait_ready()
    await _hammer(service)
    await service.kill()


async def _hammer(service: Service) -> None:
    """Which fails where a transfer is lost, and where the audit finds something."""
    load = ["hammer", "--hot", "--seconds", str(LOAD_S), "--connections", "8"]
    await trio.run_process(
        [*COMMAND, *load], cwd=ROOT, env={**os.environ, **service.environment}, capture_stdout=True
    )


def _clock(server: LocalPostgres) -> datetime:
    (moment,) = _execute(server, "select clock_timestamp()")
    assert isinstance(moment, datetime)
    return moment.astimezone(UTC)


def _transfers(server: LocalPostgres) -> int:
    (count,) = _execute(server, "select count(*) from transfers")
    assert isinstance(count, int)
    return count


def _execute(server: LocalPostgres, statement: str) -> tuple[object, ...]:
    with psycopg.connect(server.url()) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row
