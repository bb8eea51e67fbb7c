"""A real Redis of our own, in a folder, on a socket, keeping what it is told (append-only file).

`redis-server` from the PATH; else Debian's package, downloaded and unpacked into the folder, for which no
root is needed; else, and loudly, a substitute written in Python that is good enough to try the service.
"""

from __future__ import annotations

import hashlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from infra.local.debian import library_path, unpacked
from infra.local.process import (
    STOP_TIMEOUT_S,
    Check,
    FolderLock,
    go_on,
    spawn,
    stop_child,
    stop_orphan,
    wait_until,
)

SOCKET_PATH_MAX = 100
PROGRAM = "usr/bin/redis-server"
PACKAGES = {"redis-server", "redis-tools"}
"""The program is in the second; the first has its name."""
SHUTDOWN = (signal.SIGTERM,)


class LocalRedis:
    """One server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._lock = FolderLock(self.folder / "lock", f"Redis in {self.folder} is in use")
        self._log = self.folder / "log"
        self._pid_file = self.folder / "redis.pid"
        self._socket = self.folder / "redis.sock"
        if len(str(self._socket)) > SOCKET_PATH_MAX:
            name = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]
            self._socket = Path(tempfile.gettempdir()) / f"transactions-{name}.sock"
        self._substitute_port: int | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For clients on this machine; to be asked for once it runs."""
        if self._substitute_port is not None:
            return f"redis://127.0.0.1:{self._substitute_port}/0"
        return f"unix://{self._socket}?db=0"

    def start(self, check: Check = go_on) -> None:
        """Start and wait until it answers; raises LocalServerError, and whatever `check` does."""
        self._lock.acquire()
        try:
            stop_orphan(self._pid_file, self.folder, SHUTDOWN, check)
            self._socket.unlink(missing_ok=True)
            command, environment = self._command(check)
            self._child = spawn(command, folder=self.folder, log=self._log, user=None, environment=environment)
            self._pid_file.write_text(str(self._child.pid))
            wait_until(self._is_ready, self._child, self._log, "Redis", check)
        except BaseException:
            self.stop()
            raise

    @property
    def alive(self) -> bool:
        """Whether the server we started has not ended."""
        return self._child is not None and self._child.poll() is None

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Orderly: what was acknowledged is on disk; killed after `timeout_s`. Safe in a signal handler, and twice."""
        if self._child is not None:
            stop_child(self._child, SHUTDOWN, timeout_s)
            self._child = None
            self._pid_file.unlink(missing_ok=True)
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
        """Whether some server of this folder answers, ours or another owner's."""
        return self._is_ready()

    def _is_ready(self) -> bool:
        port = self._substitute_port
        with socket.socket(socket.AF_UNIX if port is None else socket.AF_INET) as client:
            client.settimeout(1)
            try:
                client.connect(str(self._socket) if port is None else ("127.0.0.1", port))
                client.sendall(b"*1\r\n$4\r\nPING\r\n")
                return client.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def _command(self, check: Check) -> tuple[list[str | Path], dict[str, str]]:
        options = ["--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"]
        options += ["--dir", str(self.folder), "--appendonly", "yes", "--save", "", "--daemonize", "no"]
        installed = shutil.which("redis-server")
        if installed:
            return [installed, *options], {}
        package = unpacked(PROGRAM, PACKAGES, self.folder / "package", check)
        if package:
            return [package / PROGRAM, *options], {"LD_LIBRARY_PATH": library_path(package)}
        print(
            "WARNING: no redis-server and no Debian package to be had: using a substitute in Python.\n"
            "WARNING: good enough to try the service, lost on exit. Install redis-server, or set REDIS_URL.",
            file=sys.stderr,
        )
        self._substitute_port = _free_port()
        module = ["-m", "infra.local.substitute_redis", str(self._substitute_port)]
        return [sys.executable, *module], {"PYTHONPATH": str(Path(__file__).parents[2])}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
