"""The real service in a process of its own, and what a client of it does all the time."""

from __future__ import annotations

import email
import email.policy
import os
import re
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import httpx
import psycopg

from cli.drill.installation import free_ports

PASSWORD = "correct horse battery"
COMMAND = [sys.executable, "-m", "cli.main"]
ROOT = Path(__file__).resolve().parents[2]
READY_TIMEOUT_S = 20
_numbers = count(1)
_given: set[int] = set()


def free_port() -> int:
    """One that nobody listens on, and that nobody was given before."""
    while True:
        port, _ = free_ports()
        if port not in _given:
            _given.add(port)
            return port


class ServiceProcess:
    """`transactions serve` on one database and one Redis, with mail as files under `var_dir`.

    Without URLs, `""` each, it has embedded ones of its own.
    """

    def __init__(self, var_dir: Path, database_url: str, redis_url: str, **environment: str) -> None:
        self.var_dir = var_dir
        self.database_url = database_url
        self.http_port = free_port()
        self.grpc_port = free_port()
        self.http = f"http://127.0.0.1:{self.http_port}"
        self.grpc = f"127.0.0.1:{self.grpc_port}"
        self.log = var_dir / "service.log"
        var_dir.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "RATE_LIMITS": "off",
            "VAR_DIR": str(var_dir),
            "HTTP_SERVER_ADDRESS": f"127.0.0.1:{self.http_port}",
            "GRPC_SERVER_ADDRESS": self.grpc,
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[httpx.Client] = []

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start it, and do not wait until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", *([] if self.database_url else ["--embedded"])],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        return self.process

    def start(self) -> ServiceProcess:
        process = self.spawn()
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise AssertionError(f"the service ended at once:\n{self.log.read_text()}")
            try:
                if httpx.get(f"{self.http}/readyz").status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError(f"the service was not ready:\n{self.log.read_text()}")

    def signal(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 30) -> int:
        assert self.process is not None
        while self._clients:
            self._clients.pop().close()
        return self.process.wait(timeout_s)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A subcommand of ours, in the service's environment."""
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=ROOT,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    # What clients do

    def register(self, username: str | None = None, *, verified: bool = True) -> str:
        """A new user; verified by following the link in the real mail."""
        username = username or f"user{next(_numbers)}"
        address = f"{username}@example.com"
        body = {"username": username, "password": PASSWORD, "full_name": "Some One", "email": address}
        response = httpx.post(f"{self.http}/v1/users", json=body)
        assert response.status_code == 201, response.text
        if verified:
            link = self.verification_link(address)
            assert httpx.get(link).json() == {"is_verified": True}
        return username

    def verification_link(self, address: str, timeout_s: float = 10) -> str:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for path in sorted((self.var_dir / "mail").glob("*.eml"), reverse=True):
                mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                if mail["To"] == address:
                    return link_in(mail)
            time.sleep(0.02)
        raise AssertionError(f"no mail to {address}")

    def banker(self) -> str:
        """A new banker."""
        name = f"banker{next(_numbers)}"
        done = self.run("user", "create", name, "banker", stdin=f"{PASSWORD}\n")
        assert done.returncode == 0, done.stderr
        return name

    def login(self, username: str) -> str:
        """An access token."""
        body = {"username": username, "password": PASSWORD}
        response = httpx.post(f"{self.http}/v1/users/login", json=body)
        assert response.status_code == 200, response.text
        return response.json()["access_token"]

    def client(self, username: str) -> httpx.Client:
        """An HTTP client that is logged in."""
        token = self.login(username)
        client = httpx.Client(base_url=self.http, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        self._clients.append(client)
        return client

    def audit(self) -> subprocess.CompletedProcess[str]:
        return self.run("audit", "--json")


def link_in(mail: email.message.EmailMessage) -> str:
    """The link in a mail's text part."""
    body = mail.get_body(("plain",))
    assert body is not None
    match = re.search(r"http\S+", body.get_content())
    assert match is not None
    return match[0]


def open_accounts(
    database_url: str, owner: str, number: int, *, currency: str = "USD", overdraft: int = 0
) -> list[int]:
    """Accounts made behind the service's back, where a test needs many."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = connection.execute(
            "insert into accounts (owner, currency, overdraft_limit) select %s, %s, %s from generate_series(1, %s) "
            "returning id",
            [owner, currency, overdraft, number],
        )
        return [row[0] for row in rows]
