"""A whole installation for one drill: PostgreSQL and Redis of its own, and services as processes, in a folder."""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from urllib.parse import quote, urlsplit

import trio

from cli.drill.proxy import Link, Proxy, open_proxy
from cli.hammer.http_client import HttpClient, HttpFailed
from infra.local.postgres import SUPERUSER, LocalPostgres
from infra.local.process import LocalServerError, last_line
from infra.local.redis import LocalRedis

COMMAND = [sys.executable, "-m", "cli.main"]
SERVE = (*COMMAND, "serve")
ROOT = Path(__file__).resolve().parents[2]
READY_TIMEOUT_S = 30.0
PORTS = range(15_000, 32_768)
"""Below those that the kernel hands out: nobody is given one while the service that had it is away."""
ENV_OF_OURS = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
"""What of our own environment a service is given: no setting of an installation that is in use."""


class DrillFailed(LocalServerError):
    """The drill itself could not be carried out: one line for a person."""


class Service:
    """One service, on the same two ports whenever it is started; what it says goes to `log`.

    `environment` is what it gets when `command` is started the next time, in the folder `code`.
    """

    def __init__(
        self, folder: Path, code: Path, name: str, environment: dict[str, str], command: Sequence[str] = SERVE
    ) -> None:
        self._code = code
        self._command = command
        self.http_port, self.grpc_port = free_ports()
        self.log = folder / f"{name}.log"
        self.environment = {
            **{name: os.environ[name] for name in ENV_OF_OURS if name in os.environ},
            **environment,
            "HTTP_SERVER_ADDRESS": f"127.0.0.1:{self.http_port}",
            "GRPC_SERVER_ADDRESS": f"127.0.0.1:{self.grpc_port}",
        }
        self._process: trio.Process | None = None

    async def start(self) -> None:
        """Start it, and do not wait."""
        with self.log.open("ab") as log:
            self._process = await trio.lowlevel.open_process(
                self._command, stdout=log, stderr=log, cwd=self._code, env=self.environment
            )

    async def wait_ready(self) -> None:
        """Until it is able to take work; raises DrillFailed when it has ended, or is not so in time."""
        with trio.move_on_after(READY_TIMEOUT_S):
            while await self.readyz() != 200:
                if not self.running:
                    raise DrillFailed(f"the service ended at once: {last_line(self.log)}")
                await trio.sleep(0.02)
            return
        raise DrillFailed(f"the service was not ready within {READY_TIMEOUT_S:g} s: {last_line(self.log)}")

    async def readyz(self) -> int:
        """The status of its readiness; 0 while nobody answers."""
        async with HttpClient("127.0.0.1", self.http_port) as client:
            try:
                return (await client.request("GET", "/readyz"))[0]
            except HttpFailed:
                return 0

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def wait(self) -> int:
        """Its exit status, once it has ended: negative for the signal that ended it."""
        assert self._process is not None
        return await self._process.wait()

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.returncode is None

    def catches(self, number: int) -> bool:
        """Whether a signal is handled by now, and does not just end the process (proc_pid_status(5))."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        _, caught = next(line.split() for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught, 16) >> (number - 1) & 1)

    async def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self.running:
            self.signal(signal.SIGKILL)
            await self.wait()


class Installation:
    """Made by `open_installation`."""

    def __init__(self, folder: Path, code: Path, command: Sequence[str] = SERVE) -> None:
        self.folder = folder
        self._code = code
        self._command = command
        self.postgres = LocalPostgres(folder / "postgres")
        self.redis = LocalRedis(folder / "redis")
        self.standby: LocalPostgres | None = None
        """Synchronous, where the drill has asked for one."""
        self.mail = folder / "var" / "mail"
        self.proxies: dict[Link, Proxy] = {}
        self._services: list[Service] = []

    def service(self, name: str, code: Path | None = None, **environment: str) -> Service:
        """A service on this installation, not started yet; `code` is another release's."""
        service = Service(
            self.folder,
            code or self._code,
            name,
            {
                "DATABASE_URL": self._database_url(),
                "REDIS_URL": self._redis_url(),
                "VAR_DIR": str(self.folder / "var"),
                "RATE_LIMITS": "off",
                "ACCESS_TOKEN_DURATION": "24h",
                **environment,
            },
            self._command,
        )
        self._services.append(service)
        return service

    def _database_url(self) -> str:
        proxy = self.proxies.get(Link.POSTGRES)
        if self.standby is not None:
            folders = f"{self.postgres.socket_folder},{self.standby.socket_folder}"
            return (
                f"postgresql://{SUPERUSER}@/transactions?host={quote(folders)}&target_session_attrs=read-write"
            )
        return self.postgres.url() if proxy is None else url_through(proxy, "transactions")

    def _redis_url(self) -> str:
        proxy = self.proxies.get(Link.REDIS)
        return self.redis.url if proxy is None else f"redis://127.0.0.1:{proxy.port}/0"

    async def open_redis(self) -> trio.SocketStream:
        """A line to Redis itself."""
        return await trio.open_unix_socket(urlsplit(self.redis.url).path)

    def start_standby(self) -> None:
        """Nothing is committed from now on that it does not have."""
        self.standby = LocalPostgres(self.folder / "standby")
        self.standby.follow(self.postgres)
        self.standby.start()
        self.postgres.configure("synchronous_standby_names", "*")

    async def aclose(self) -> None:
        """End whatever still runs."""
        with trio.CancelScope(shield=True):
            for service in self._services:
                await service.kill()
            for server in (self.standby, self.postgres, self.redis):
                if server is not None:
                    await trio.to_thread.run_sync(server.stop)


@asynccontextmanager
async def open_installation(
    folder: Path,
    code: Path = ROOT,
    *,
    proxied: Collection[Link] = (),
    standby: bool = False,
    command: Sequence[str] = SERVE,
) -> AsyncIterator[Installation]:
    """In an empty folder, migrated, for the block, with the service's code in `code`; PostgreSQL may have a standby.

    On the links that are `proxied` everything goes through a proxy. A `command` of another's may run as a user who
    is nobody here: everybody may write in the service's own folder.

    Raises LocalServerError.
    """
    installation = Installation(folder, code, command)
    installation.mail.parent.mkdir()
    installation.mail.parent.chmod(0o777 if command is not SERVE else 0o755)
    try:
        for server in (installation.postgres, installation.redis):
            await trio.to_thread.run_sync(server.start)
        await trio.to_thread.run_sync(installation.postgres.create_database, "transactions")
        migrated = await trio.run_process(
            [*COMMAND, "migrate", "up"],
            cwd=code,
            env={**os.environ, "DATABASE_URL": installation.postgres.url()},
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        if migrated.returncode:
            raise DrillFailed(migrated.stderr.decode().strip())
        if standby:
            await trio.to_thread.run_sync(installation.start_standby)
        async with AsyncExitStack() as stack:
            for link, upstream in (
                (Link.POSTGRES, partial(open_postgres, installation.postgres)),
                (Link.REDIS, installation.open_redis),
            ):
                if link in proxied:
                    installation.proxies[link] = await stack.enter_async_context(open_proxy(upstream))
            yield installation
    finally:
        await installation.aclose()


async def open_postgres(server: LocalPostgres) -> trio.SocketStream:
    """A line to the server itself."""
    return await trio.open_unix_socket(server.socket_folder / ".s.PGSQL.5432")


def url_through(proxy: Proxy, database: str) -> str:
    """A database of the PostgreSQL behind a proxy."""
    return f"postgresql://{SUPERUSER}@127.0.0.1:{proxy.port}/{database}?sslmode=disable&gssencmode=disable"


def free_ports() -> tuple[int, int]:
    """Two that nobody listens on, nor is given by the kernel."""
    one, other = islice(filter(_is_free, random.SystemRandom().sample(PORTS, k=len(PORTS))), 2)
    return one, other


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False
