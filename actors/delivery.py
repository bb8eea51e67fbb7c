"""How mails leave the house: over SMTP, or as files for developers."""

from __future__ import annotations

import os
import smtplib
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit
from uuid import uuid4

import trio

TIMEOUT_S = 20.0
"""For each step of a delivery."""
DELIVERY_TIMEOUT_S = 60.0
THREADS_MAX = 4
ABOUT_CREDENTIALS = frozenset({530, 534, 535, 538})
"""RFC 4954, section 6: refusals of whoever sends, not of the mail."""
SMTP_URL_FORM = (
    "must be smtp://HOST:PORT or smtps://HOST:PORT, with USER:PASSWORD@ (percent-encoded) before HOST"
)


class DeliveryFailed(Exception):
    """`permanent` when trying again would not help."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


class Delivery(Protocol):
    """Something that takes a mail, within a time of its own; raises DeliveryFailed."""

    async def deliver(self, mail: EmailMessage) -> None: ...


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """What an SMTP_URL says. `starttls` is required, auto (when offered) or off."""

    host: str
    port: int
    tls: bool
    starttls: str
    username: str | None
    password: str | None = field(repr=False)
    ca_file: str | None


def parse_smtp_url(url: str) -> SmtpServer:
    """`smtp://user:password@host:587?starttls=required` or `smtps://...`; raises ValueError.

    Credentials are only ever sent over TLS: with them, STARTTLS is required unless `starttls=off` says that
    the way to the server is private. Certificates are always verified; `ca_file` names an authority of one's
    own. No error repeats the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(SMTP_URL_FORM) from None
    if parts.scheme not in ("smtp", "smtps") or parts.path not in ("", "/") or parts.fragment:
        raise ValueError(SMTP_URL_FORM)
    query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    unknown = query.keys() - {"starttls", "ca_file"}
    if unknown:
        raise ValueError(f"has no parameter {', '.join(sorted(unknown))}")
    username, password = _credentials(parts)
    tls = parts.scheme == "smtps"
    if tls and "starttls" in query:
        raise ValueError("starttls is for smtp://; smtps:// is TLS from the start")
    starttls = query.get("starttls", "required" if username else "auto")
    if starttls not in ("required", "auto", "off"):
        raise ValueError("starttls must be required, auto or off")
    if username and starttls == "auto":
        raise ValueError("starttls=auto could send the password in the clear: use required or off")
    host, port = _host_and_port(parts, 465 if tls else 25)
    server = SmtpServer(host, port, tls, starttls, username, password, query.get("ca_file"))
    _tls_context(server)
    return server


def _credentials(parts: SplitResult) -> tuple[str | None, str | None]:
    if parts.username is None:
        return None, None
    username, password = unquote(parts.username), unquote(parts.password or "")
    if not username or not password:
        raise ValueError("user name and password go together")
    if not (username + password).isascii():
        raise ValueError("user name and password must be ASCII")
    return username, password


def _host_and_port(parts: SplitResult, default_port: int) -> tuple[str, int]:
    try:
        port = default_port if parts.port is None else parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:
        raise ValueError(SMTP_URL_FORM) from None
    if not host or not port:
        raise ValueError(SMTP_URL_FORM)
    return host, port


def _tls_context(server: SmtpServer) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=server.ca_file)
    except OSError:
        raise ValueError(f"ca_file {server.ca_file!r} is not a readable file of certificates") from None
    context.hostname_checks_common_name = False  # RFC 9525, section 2
    return context


class SmtpDelivery:
    """One connection per mail, in a worker thread: smtplib is the well-kept client there is.

    Mails have one recipient. A cancelled delivery is abandoned at once and its connection cut; whether the
    server has taken the mail by then is not known. What is wrong with the way to the server, the server itself
    or our credentials is never permanent: only a refusal of this sender, recipient or content is.
    """

    def __init__(
        self,
        server: SmtpServer,
        *,
        timeout_s: float = TIMEOUT_S,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
    ) -> None:
        self._server = server
        self._context = _tls_context(server)
        self._timeout_s = timeout_s
        self._delivery_timeout_s = delivery_timeout_s
        # Bounds the threads that were abandoned and have not noticed yet.
        self._threads = trio.CapacityLimiter(THREADS_MAX)

    async def deliver(self, mail: EmailMessage) -> None:
        """Hand the mail to the server; raises DeliveryFailed, or ValueError for what is not a mail."""
        session = _Session(self._server, self._context, self._timeout_s)
        try:
            with trio.fail_after(self._delivery_timeout_s):
                await trio.to_thread.run_sync(session.send, mail, abandon_on_cancel=True, limiter=self._threads)
        except trio.TooSlowError:
            message = f"not delivered within {self._delivery_timeout_s:g} s"
            raise DeliveryFailed(message, permanent=False) from None
        finally:
            session.cut()


class _Session:
    def __init__(self, server: SmtpServer, context: ssl.SSLContext, timeout_s: float) -> None:
        self._server = server
        self._context = context
        self._timeout_s = timeout_s
        self._client: smtplib.SMTP | None = None

    def send(self, mail: EmailMessage) -> None:
        """In a thread."""
        try:
            client = self._client = self._connected()
            try:
                self._prepare(client)
                _hand_over(client, mail)
            finally:
                client.close()
        except smtplib.SMTPResponseException as error:
            raise _failed(error.smtp_code, error.smtp_error, permanent=False) from error
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryFailed(str(error) or type(error).__name__, permanent=False) from error

    def cut(self) -> None:
        """End what the thread may still wait for; from any thread, harmless when it is done."""
        connection = self._client and self._client.sock
        if connection:
            with suppress(OSError):
                # The plain method: TLS's own would take the session away under the thread that uses it.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _connected(self) -> smtplib.SMTP:
        server, timeout_s = self._server, self._timeout_s
        if server.tls:
            return smtplib.SMTP_SSL(server.host, server.port, timeout=timeout_s, context=self._context)
        return smtplib.SMTP(server.host, server.port, timeout=timeout_s)

    def _prepare(self, client: smtplib.SMTP) -> None:
        server = self._server
        client.ehlo_or_helo_if_needed()
        if not server.tls and server.starttls != "off":
            if client.has_extn("starttls"):
                client.starttls(context=self._context)
            elif server.starttls == "required":
                raise smtplib.SMTPException("the server does not offer STARTTLS, which is required")
        if server.username is not None:
            client.login(server.username, server.password or "")


def _hand_over(client: smtplib.SMTP, mail: EmailMessage) -> None:
    try:
        client.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        code, text = next(iter(error.recipients.values()), (550, b"the mail has no recipient"))
        raise _failed(code, text, permanent=code >= 500) from error
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        permanent = error.smtp_code >= 500 and error.smtp_code not in ABOUT_CREDENTIALS
        raise _failed(error.smtp_code, error.smtp_error, permanent=permanent) from error
    except smtplib.SMTPNotSupportedError as error:  # an address that needs SMTPUTF8
        raise DeliveryFailed(str(error), permanent=True) from error
    # The server has the mail: from here on nothing may look like a failure, or it would be sent again.
    with suppress(smtplib.SMTPException, OSError):
        client.quit()


def _failed(code: int, text: bytes | str, *, permanent: bool) -> DeliveryFailed:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    return DeliveryFailed(" ".join(f"{code} {words}".split()), permanent=permanent)


class FileDelivery:
    """Every mail an `.eml` file in a folder, named so that they sort by time."""

    def __init__(self, folder: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder = folder
        self._now = now

    async def deliver(self, mail: EmailMessage) -> None:
        """Write the mail; a file is there whole or not at all."""
        await trio.to_thread.run_sync(self._write, mail)

    def _write(self, mail: EmailMessage) -> None:
        name = f"{self._now():%Y%m%dT%H%M%S.%f}-{uuid4().hex[:8]}.eml"
        partial = self._folder / f".{name}.partial"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            partial.touch(mode=0o600)  # it holds a link for the recipient alone
            with partial.open("wb") as file:
                file.write(mail.as_bytes())
                file.flush()
                os.fsync(file.fileno())
            partial.rename(self._folder / name)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise DeliveryFailed(str(error), permanent=False) from error
