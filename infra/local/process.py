"""Child servers: one owner per folder, started in sessions of their own, and found again after a kill -9.

A terminal's Ctrl-C reaches only the service, which stops its servers last. If the service dies without
stopping them they go on as orphans; the next owner of the folder stops them before it starts its own.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

POLL_S = 0.005
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0


class LocalServerError(Exception):
    """Why a server can not run here: one line for a person."""


class FolderLock:
    """Held for as long as the owner lives, however it dies: the kernel lets go of it."""

    def __init__(self, path: Path, busy: str) -> None:
        self._path = path
        self._busy = busy
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Raises LocalServerError with the `busy` line and the owner's pid when somebody else holds it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise LocalServerError(f"{self._busy} (process {owner})") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let the next one in."""
        if self._file is not None:
            self._file.close()
            self._file = None


def spawn(
    command: Sequence[str | Path], *, folder: Path, log: Path, user: int | None, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start a server with `folder` as its working directory, as `user` where one is given."""
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - the command is ours
            [str(part) for part in command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            env={**os.environ, **environment},
        )


def wait_until(ready: Callable[[], bool], child: subprocess.Popen[bytes], log: Path, name: str) -> None:
    """Wait until the server is ready; raises LocalServerError with its last words when it ends instead."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready():
        if child.poll() is not None:
            raise LocalServerError(f"{name} ended at once: {last_line(log)} (all of it in {log})")
        if time.monotonic() > deadline:
            child.kill()
            child.wait()
            raise LocalServerError(f"{name} was not ready within {START_TIMEOUT_S:g} s; see {log}")
        time.sleep(POLL_S)


def stop_orphan(pid_file: Path, folder: Path, signal_number: int) -> None:
    """End a server that an owner before us left running in `folder`, and remove its pid file."""
    try:
        pid = int(pid_file.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        pid = 0
    if pid > 0 and _runs_in(pid, folder):
        stop(pid, signal_number, lambda: _runs_in(pid, folder))
    pid_file.unlink(missing_ok=True)


def stop(pid: int, signal_number: int, alive: Callable[[], bool]) -> None:
    """Ask a process to end; kill it when it has not done so in time."""
    os.kill(pid, signal_number)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while alive():
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline += STOP_TIMEOUT_S
        time.sleep(POLL_S)


def _runs_in(pid: int, folder: Path) -> bool:
    # A pid alone may be anybody's by now; working in this very folder makes it ours.
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == folder.resolve()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def last_line(log: Path) -> str:
    """The last thing a server said."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
