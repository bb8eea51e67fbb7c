"""Child servers: one owner per folder, started in sessions of their own, and found again after a kill -9.

A terminal's Ctrl-C reaches only the service, which stops its servers last. If the service dies without
stopping them they go on as orphans; the next owner of the folder stops them before it starts its own.

Every wait asks a `check`, which raises when nobody wants its end any more: what was being waited for is ended
then, and the exception goes on.
"""

from __future__ import annotations

import fcntl
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, AnyStr

POLL_S = 0.005
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0

Check = Callable[[], None]


class LocalServerError(Exception):
    """Why a server can not run here: one line for a person."""


def go_on() -> None:
    """The check of who is never interrupted."""


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


def run(
    command: Sequence[str | Path],
    *,
    check: Check,
    timeout_s: float = math.inf,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command of ours to its end; it and its children are killed when it takes too long (TimeoutExpired)."""
    child = subprocess.Popen(  # noqa: S603 - the command is ours
        [str(part) for part in command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    )
    deadline = time.monotonic() + timeout_s
    with child, killed_on_error(child):
        while True:
            try:
                output, errors = child.communicate(timeout=0.05)
            except subprocess.TimeoutExpired:
                check()
                if time.monotonic() > deadline:
                    raise
            else:
                return subprocess.CompletedProcess(child.args, child.returncode, output, errors)


@contextmanager
def killed_on_error(child: subprocess.Popen[AnyStr]) -> Iterator[None]:
    """Kill a child and all it has started when the block raises."""
    try:
        yield
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise


def wait_until(
    ready: Callable[[], bool], child: subprocess.Popen[bytes], log: Path, name: str, check: Check
) -> None:
    """Wait until the server is ready; raises LocalServerError with its last words when it ends instead."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready():
        check()
        if child.poll() is not None:
            raise LocalServerError(f"{name} ended at once: {last_line(log)} (all of it in {log})")
        if time.monotonic() > deadline:
            raise LocalServerError(f"{name} was not ready within {START_TIMEOUT_S:g} s; see {log}")
        time.sleep(POLL_S)


def stop_orphan(pid_file: Path, folder: Path, signals: Sequence[int], check: Check) -> None:
    """End a server that an owner before us left running in `folder`, and remove its pid file."""
    try:
        pid = int(pid_file.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        pid = 0
    if pid > 0 and _runs_in(pid, folder):
        stop(pid, signals, lambda: not _runs_in(pid, folder), STOP_TIMEOUT_S, check)
    pid_file.unlink(missing_ok=True)


def stop_child(child: subprocess.Popen[bytes], signals: Sequence[int], timeout_s: float) -> None:
    """As `stop`; in a signal handler too, whatever it interrupts."""
    stop(child.pid, signals, lambda: _has_ended(child.pid), timeout_s)
    child.poll()


def stop(
    pid: int, signals: Sequence[int], ended: Callable[[], bool], timeout_s: float, check: Check = go_on
) -> None:
    """Ask a process to end; `timeout_s` later in the next of these ways, and in the end kill it."""
    for number in (*signals, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + timeout_s
        while not ended():
            check()
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_S)
        else:
            return


def kill_all(pids: Sequence[int]) -> None:
    """SIGKILL to children, and wait until they have ended; safe in a signal handler, whatever it interrupts."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in pids:
        while not _has_ended(pid):
            time.sleep(POLL_S)


def _has_ended(pid: int) -> bool:
    # Leaves the status to whoever waits for the child, and does not need the lock that he may hold.
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


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
