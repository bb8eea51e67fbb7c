"""A real SMTP server (aiosmtpd) in a process of its own, with what it received and a mood.

A process, because importing trio-asyncio changes what a plain asyncio loop is.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import datetime as dt
import ipaddress
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, Envelope
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.service import ROOT, free_port


@dataclass(frozen=True)
class Received:
    """A mail the server accepted."""

    recipients: list[str]
    content: bytes
    encrypted: bool


class SmtpServer:
    """The test's side: a port, what came, and how to answer. Answers are given first, one a mail.

    `recipient` and `quit_` are answers to every RCPT and QUIT, in place of the usual ones.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._journal = folder / "journal"
        self._answers = folder / "answers"
        self._journal.touch()
        self.answer_with([])

    def answer_with(
        self,
        answers: list[str],
        *,
        delay_s: float = 0.0,
        recipient: str | None = None,
        quit_: str | None = None,
    ) -> None:
        mood = {"answers": answers, "delay_s": delay_s, "recipient": recipient, "quit": quit_}
        self._answers.write_text(json.dumps(mood))

    def _events(self, kind: str) -> list[dict]:
        events = [json.loads(line) for line in self._journal.read_text().splitlines()]
        return [event for event in events if event["kind"] == kind]

    @property
    def mails(self) -> list[Received]:
        return [
            Received(event["recipients"], base64.b64decode(event["content"]), event["encrypted"])
            for event in self._events("mail")
        ]

    @property
    def logins(self) -> list[str]:
        return [event["login"] for event in self._events("login")]

    @property
    def attempts(self) -> int:
        return len(self._events("attempt"))

    @property
    def hang_ups(self) -> int:
        """Connections that have ended, however they did."""
        return len(self._events("hang-up"))


@contextmanager
def smtp_server(certificate: tuple[Path, Path] | None = None, *, tls: str = "required") -> Iterator[SmtpServer]:
    """A running server; with a certificate, STARTTLS and a login (password `secret`) are required.

    `tls` may also be `offered` (STARTTLS when the client wants it) or `implicit` (smtps), without a login.
    """
    with tempfile.TemporaryDirectory() as name:
        server = SmtpServer(Path(name), free_port())
        command = [sys.executable, "-m", "tests.support.smtp", str(server.port), name, tls]
        process = subprocess.Popen([*command, *map(str, certificate or ())], cwd=ROOT)
        try:
            _wait_for(server.port, process)
            yield server
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


class _Handler:
    """The server's side."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._given = 0

    def note(self, **event: object) -> None:
        with (self._folder / "journal").open("a") as journal:
            journal.write(json.dumps(event) + "\n")

    def mood(self) -> dict:
        return json.loads((self._folder / "answers").read_text())

    async def handle_RCPT(self, server, session, envelope: Envelope, address, options) -> str:  # noqa: N802 - aiosmtpd's name
        refusal = self.mood()["recipient"]
        if refusal is not None:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_QUIT(self, server, session, envelope) -> str:  # noqa: N802 - aiosmtpd's name
        return self.mood()["quit"] or "221 bye"

    async def handle_DATA(self, server: SMTP, session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.note(kind="attempt")
        mood = self.mood()
        await asyncio.sleep(mood["delay_s"])
        if self._given < len(mood["answers"]):
            self._given += 1
            return mood["answers"][self._given - 1]
        content = base64.b64encode(envelope.content).decode()
        self.note(kind="mail", recipients=envelope.rcpt_tos, content=content, encrypted=session.ssl is not None)
        return "250 accepted"

    def authenticate(self, server, session, envelope, mechanism, data) -> AuthResult:
        self.note(kind="login", login=data.login.decode())
        return AuthResult(success=data.password == b"secret", handled=False)


class _Server(SMTP):
    """Notes when a connection ends."""

    def connection_lost(self, error: Exception | None) -> None:
        self.event_handler.note(kind="hang-up")
        super().connection_lost(error)


async def _serve(port: int, folder: Path, tls: str, certificate: list[Path]) -> None:
    handler = _Handler(folder)
    options: dict[str, object] = {}
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        if tls != "implicit":
            options["tls_context"] = context
        if tls == "required":
            options |= {
                "require_starttls": True,
                "auth_required": True,
                "authenticator": handler.authenticate,
            }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Server(handler, loop=loop, **options),
        "127.0.0.1",
        port,
        ssl=context if tls == "implicit" else None,
    )
    await server.serve_forever()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A throw-away certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tls")
    parser.add_argument("certificate", type=Path, nargs="*")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port, arguments.folder, arguments.tls, arguments.certificate))
