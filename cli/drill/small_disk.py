"""A disk with little room for PostgreSQL's data, which may be filled up: a tmpfs, which only root may mount."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infra.local.postgres import LocalPostgres
from infra.local.process import LocalServerError

ROOM_BYTES = 64 * 2**20
"""Beyond what the data takes when it is moved there."""
CHUNK = bytes(2**20)


class SmallDisk:
    """Made by `small_disk`."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / "filler"

    def fill(self) -> None:
        """To the last byte; again, where room was made since."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (len(CHUNK), 4_096, 1):
                with suppress(OSError):
                    while True:
                        file.write(CHUNK[:size])

    def make_room(self) -> None:
        """Take away what filled it."""
        self._filler.unlink()


@contextmanager
def small_disk(server: LocalPostgres) -> Iterator[SmallDisk]:
    """For the block, at whose end the server is stopped: its data is gone with the disk. Raises LocalServerError."""
    if os.geteuid() != 0:
        raise LocalServerError("only root may mount a small disk")
    server.stop()
    data = server.home / "data"
    old = data.rename(server.home / "data.old")
    data.mkdir(mode=0o700)
    size = sum(path.stat().st_size for path in old.rglob("*") if path.is_file()) + ROOM_BYTES
    _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(data))
    try:
        shutil.copystat(old, data)
        _run("cp", "-a", f"{old}/.", str(data))
        server.start()
        yield SmallDisk(data)
    finally:
        server.stop()
        _run("umount", str(data))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the command is ours
    if done.returncode:
        raise LocalServerError(done.stderr.strip())
