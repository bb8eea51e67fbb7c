"""A disk with little room for PostgreSQL's data, which may be filled up: a tmpfs, which only root may mount."""

from __future__ import annotations

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
    """For the block, at whose end the server is stopped: its data is gone with the disk.

    Raises LocalServerError, with nothing changed, where none may be mounted.
    """
    data, small = server.home / "data", server.home / "data.small"
    small.mkdir()
    size = sum(path.stat().st_size for path in data.rglob("*") if path.is_file()) + ROOM_BYTES
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(small))
    try:
        server.stop()
        _run("cp", "-a", f"{data}/.", str(small))
        data.rename(server.home / "data.large")
        data.symlink_to(small)
        server.start()
        yield SmallDisk(data)
    finally:
        server.stop()
        _run("umount", str(small))


def _run(*command: str) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - the command is ours
    except subprocess.CalledProcessError as failure:
        raise LocalServerError(f"{command[0]} failed: {failure.stderr.strip().splitlines()[0]}") from failure
    except OSError as failure:
        raise LocalServerError(f"{command[0]} can not be run: {failure.strerror}") from failure
