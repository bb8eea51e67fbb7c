"""Every setting of the service, read from the environment once, before anything starts.

An unknown or malformed value is one `SettingsError` naming the variable. Bounds that are not settings are
here too, in `Limits`, so that all of them can be read in one place.
"""

from __future__ import annotations

import os
import secrets
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TypeVar

from cli import parsers
from transport.grpc.tls import tls_context

Value = TypeVar("Value")

SECRET_FILE = "token-symmetric-key"
SHUTDOWN_GRACE_MIN_S = 2.0
TOKEN_DURATION_MIN_S = 1.0


class SettingsError(Exception):
    """One line naming the variable and what is wrong with it."""


class StartFailed(Exception):
    """One line naming the variable whose value is well-formed, and does not work here and now."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the running service; each has its unit in its name."""

    pool_connections: int = 10
    checkout_timeout_s: float = 2.0
    statement_timeout_s: float = 10.0
    request_timeout_s: float = 10.0
    lanes: int = 3
    batch_max: int = 512
    hash_threads: int = 2
    outbox_poll_s: float = 5.0
    key_age: timedelta = timedelta(hours=24)
    sweep_s: float = 600.0
    expired_kept: timedelta = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says."""

    environment: str
    log_level: str
    database_url: str | None
    redis_url: str | None
    http_server_address: str
    grpc_server_address: str
    grpc_tls: ssl.SSLContext | None
    token_format: str
    token_keys: tuple[bytes, ...] = field(repr=False)
    access_token_duration: timedelta
    refresh_token_duration: timedelta
    smtp_url: str | None = field(repr=False)
    email_sender_name: str
    email_sender_address: str
    public_url: str
    require_verified_email: bool
    currencies: tuple[str, ...]
    shutdown_grace_s: float
    workers: int
    rate_limits: bool
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    allowed_origins: tuple[str, ...]
    var_dir: Path
    bootstrap_admin: tuple[str, str] | None = field(repr=False)
    limits: Limits = field(default_factory=Limits)


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment; raises SettingsError."""
    read = _Reader(environ)
    environment = read("ENVIRONMENT", "development", parsers.one_of("development", "production"))
    var_dir = read("VAR_DIR", "var", parsers.folder)
    http, grpc = _addresses(read)
    token_duration = parsers.duration(least_s=TOKEN_DURATION_MIN_S)
    grace = parsers.duration(least_s=SHUTDOWN_GRACE_MIN_S)
    workers = read("WORKERS", "1", parsers.workers)
    return Settings(
        environment=environment,
        log_level=read("LOG_LEVEL", "warning", parsers.one_of("debug", "info", "warning", "error")),
        database_url=read.optional("DATABASE_URL", parsers.database_url),
        redis_url=read.optional("REDIS_URL", parsers.redis_url),
        http_server_address=http,
        grpc_server_address=grpc,
        grpc_tls=_grpc_tls(read),
        token_format=read("TOKEN_FORMAT", "paseto", parsers.one_of("paseto", "jwt")),
        token_keys=_token_keys(read, environment, var_dir),
        access_token_duration=read("ACCESS_TOKEN_DURATION", "15m", token_duration),
        refresh_token_duration=read("REFRESH_TOKEN_DURATION", "24h", token_duration),
        smtp_url=read.optional("SMTP_URL", parsers.smtp_url),
        email_sender_name=read("EMAIL_SENDER_NAME", "Transactions", parsers.line),
        email_sender_address=read("EMAIL_SENDER_ADDRESS", "bank@example.com", parsers.email_address),
        public_url=read.optional("PUBLIC_URL", parsers.public_url) or f"http://{http}",
        require_verified_email=read("REQUIRE_VERIFIED_EMAIL", "true", parsers.boolean),
        currencies=read("CURRENCIES", "USD,EUR,CAD", parsers.currencies),
        shutdown_grace_s=read("SHUTDOWN_GRACE", "25s", grace).total_seconds(),
        workers=workers,
        rate_limits=_rate_limits(read, environment),
        trusted_proxies=read("TRUSTED_PROXIES", "", parsers.networks),
        allowed_origins=read("ALLOWED_ORIGINS", "", parsers.origins),
        var_dir=var_dir,
        bootstrap_admin=_bootstrap_admin(read),
    )


def make_folder(var_dir: Path) -> None:
    """Make it, and see that one may write there; raises SettingsError."""
    try:
        var_dir.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=var_dir):
            return
    except OSError as error:
        raise SettingsError(f"VAR_DIR: can not be written to: {error.strerror}") from None


class _Reader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def __call__(self, name: str, default: str, parse: Callable[[str], Value]) -> Value:
        return self._parse(name, self._environ.get(name) or default, parse)

    def optional(self, name: str, parse: Callable[[str], Value]) -> Value | None:
        text = self._environ.get(name)
        return self._parse(name, text, parse) if text else None

    @staticmethod
    def _parse(name: str, text: str, parse: Callable[[str], Value]) -> Value:
        try:
            return parse(text)
        except ValueError as error:
            raise SettingsError(f"{name}: {error}") from None


def _addresses(read: _Reader) -> tuple[str, str]:
    http = read("HTTP_SERVER_ADDRESS", "127.0.0.1:8080", parsers.address)
    grpc = read("GRPC_SERVER_ADDRESS", "127.0.0.1:9090", parsers.address)
    if http == grpc and not http.endswith(":0"):
        raise SettingsError("GRPC_SERVER_ADDRESS: must not be the HTTP_SERVER_ADDRESS")
    return http, grpc


def _token_keys(read: _Reader, environment: str, var_dir: Path) -> tuple[bytes, ...]:
    key = read.optional("TOKEN_SYMMETRIC_KEY", parsers.secret)
    if key is None:
        if environment == "production":
            raise SettingsError("TOKEN_SYMMETRIC_KEY: production needs one, of 32 bytes (hex or raw)")
        key = _own_key(var_dir)
    retired = read("TOKEN_RETIRED_KEYS", "", parsers.secrets)
    if key in retired:
        raise SettingsError("TOKEN_RETIRED_KEYS: has the key that is in use")
    return key, *retired


def _own_key(var_dir: Path) -> bytes:
    path = var_dir / SECRET_FILE
    try:
        if not path.exists():
            make_folder(var_dir)
            _write_once(path, secrets.token_bytes(32).hex())
        return parsers.secret(path.read_text(errors="surrogateescape").strip())
    except OSError as error:
        raise SettingsError(f"VAR_DIR: the key in it can not be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"TOKEN_SYMMETRIC_KEY: the one in {path} is unusable: {error}") from None


def _write_once(path: Path, text: str) -> None:
    # There whole or not at all, and the first of two processes wins.
    with NamedTemporaryFile("w", dir=path.parent) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(file.name)


def _grpc_tls(read: _Reader) -> ssl.SSLContext | None:
    certificate = read.optional("GRPC_TLS_CERTIFICATE", parsers.line)
    key = read.optional("GRPC_TLS_KEY", parsers.line)
    _check_together(GRPC_TLS_CERTIFICATE=certificate, GRPC_TLS_KEY=key)
    if certificate is None or key is None:
        return None
    for name, path in (("GRPC_TLS_CERTIFICATE", certificate), ("GRPC_TLS_KEY", key)):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise SettingsError(f"{name}: {path!r} can not be read: {error.strerror}") from None
    try:
        return tls_context(certificate, key)
    except OSError as error:
        raise SettingsError(f"GRPC_TLS_CERTIFICATE: unusable with GRPC_TLS_KEY: {error}") from None


def _rate_limits(read: _Reader, environment: str) -> bool:
    on = read("RATE_LIMITS", "on", parsers.one_of("on", "off")) == "on"
    if not on and environment == "production":
        raise SettingsError("RATE_LIMITS: off is for load tests, and refused in production")
    return on


def _bootstrap_admin(read: _Reader) -> tuple[str, str] | None:
    username = read.optional("BOOTSTRAP_ADMIN_USERNAME", parsers.username)
    password = read.optional("BOOTSTRAP_ADMIN_PASSWORD", parsers.password)
    _check_together(BOOTSTRAP_ADMIN_USERNAME=username, BOOTSTRAP_ADMIN_PASSWORD=password)
    return None if username is None or password is None else (username, password)


def _check_together(**values: str | None) -> None:
    there = [name for name, value in values.items() if value is not None]
    missing = values.keys() - there
    if there and missing:
        raise SettingsError(f"{there[0]}: needs {', '.join(missing)} beside it")
