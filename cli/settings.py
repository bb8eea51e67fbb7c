"""Every setting of the service, read from the environment once, before anything starts.

An unknown or malformed value is one `SettingsError` naming the variable. Bounds that are not settings are
here too, in `Limits`, so that all of them can be read in one place.
"""

from __future__ import annotations

import os
import re
import secrets
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from actors.delivery import parse_smtp_url
from transport.grpc.tls import tls_context

Value = TypeVar("Value")

SECRET_FILE = "token-symmetric-key"
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")
_CURRENCY = re.compile(r"[A-Z]{3}")


class SettingsError(Exception):
    """One line naming the variable and what is wrong with it."""


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
    listen_after_drain_s: float = 0.5
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
    rate_limits: bool
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    allowed_origins: tuple[str, ...]
    var_dir: Path
    bootstrap_admin: tuple[str, str] | None = field(repr=False)
    limits: Limits = field(default_factory=Limits)


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment; raises SettingsError."""
    read = _Reader(environ)
    environment = read("ENVIRONMENT", "development", _one_of("development", "production"))
    var_dir = read("VAR_DIR", "var", Path)
    http = read("HTTP_SERVER_ADDRESS", "127.0.0.1:8080", _address)
    return Settings(
        environment=environment,
        log_level=read("LOG_LEVEL", "warning", _one_of("debug", "info", "warning", "error")),
        database_url=read.optional("DATABASE_URL", _url("postgresql", "postgres")),
        redis_url=read.optional("REDIS_URL", _url("redis", "rediss", "unix")),
        http_server_address=http,
        grpc_server_address=read("GRPC_SERVER_ADDRESS", "127.0.0.1:9090", _address),
        grpc_tls=_grpc_tls(read),
        token_format=read("TOKEN_FORMAT", "paseto", _one_of("paseto", "jwt")),
        token_keys=(_token_key(read, environment, var_dir), *read("TOKEN_RETIRED_KEYS", "", _secrets)),
        access_token_duration=read("ACCESS_TOKEN_DURATION", "15m", _duration),
        refresh_token_duration=read("REFRESH_TOKEN_DURATION", "24h", _duration),
        smtp_url=read.optional("SMTP_URL", _smtp_url),
        email_sender_name=read("EMAIL_SENDER_NAME", "Transactions", _line),
        email_sender_address=read("EMAIL_SENDER_ADDRESS", "bank@example.com", _email_address),
        public_url=read("PUBLIC_URL", f"http://{http}", _url("http", "https")),
        require_verified_email=read("REQUIRE_VERIFIED_EMAIL", "true", _boolean),
        currencies=read("CURRENCIES", "USD,EUR,CAD", _currencies),
        shutdown_grace_s=read("SHUTDOWN_GRACE", "25s", _duration).total_seconds(),
        rate_limits=_rate_limits(read, environment),
        trusted_proxies=read("TRUSTED_PROXIES", "", _networks),
        allowed_origins=read("ALLOWED_ORIGINS", "", _origins),
        var_dir=var_dir,
        bootstrap_admin=_bootstrap_admin(read),
    )


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


def _token_key(read: _Reader, environment: str, var_dir: Path) -> bytes:
    key = read.optional("TOKEN_SYMMETRIC_KEY", _secret)
    if key is not None:
        return key
    if environment == "production":
        raise SettingsError("TOKEN_SYMMETRIC_KEY: production needs one, of 32 bytes (hex or raw)")
    path = var_dir / SECRET_FILE
    try:
        return _secret(path.read_text().strip())
    except FileNotFoundError:
        var_dir.mkdir(parents=True, exist_ok=True)
        made = secrets.token_bytes(32)
        path.touch(mode=0o600)
        path.write_text(made.hex())
        return made
    except ValueError as error:
        raise SettingsError(f"TOKEN_SYMMETRIC_KEY: the one in {path} is unusable: {error}") from None


def _grpc_tls(read: _Reader) -> ssl.SSLContext | None:
    certificate, key = read.optional("GRPC_TLS_CERTIFICATE", _line), read.optional("GRPC_TLS_KEY", _line)
    if (certificate is None) != (key is None):
        raise SettingsError("GRPC_TLS_CERTIFICATE and GRPC_TLS_KEY go together")
    if certificate is None or key is None:
        return None
    try:
        return tls_context(certificate, key)
    except OSError as error:
        raise SettingsError(f"GRPC_TLS_CERTIFICATE: unusable with GRPC_TLS_KEY: {error}") from None


def _rate_limits(read: _Reader, environment: str) -> bool:
    on = read("RATE_LIMITS", "on", _one_of("on", "off")) == "on"
    if not on and environment == "production":
        raise SettingsError("RATE_LIMITS: off is for load tests, and refused in production")
    return on


def _bootstrap_admin(read: _Reader) -> tuple[str, str] | None:
    username = read.optional("BOOTSTRAP_ADMIN_USERNAME", _line)
    password = read.optional("BOOTSTRAP_ADMIN_PASSWORD", _line)
    if (username is None) != (password is None):
        raise SettingsError("BOOTSTRAP_ADMIN_USERNAME and BOOTSTRAP_ADMIN_PASSWORD go together")
    return None if username is None or password is None else (username, password)


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be {' or '.join(allowed)}, not {text!r}")
        return text

    return parse


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if urlsplit(text).scheme not in schemes:
            raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return text

    return parse


def _smtp_url(text: str) -> str:
    parse_smtp_url(text)
    return text


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"must be HOST:PORT, not {text!r}")
    return text


def _secret(text: str) -> bytes:
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    raw = text.encode()
    if len(raw) != 32:
        raise ValueError("must be exactly 32 bytes, as they are or as 64 hexadecimal digits")
    return raw


def _secrets(text: str) -> tuple[bytes, ...]:
    return tuple(map(_secret, _listed(text)))


def _listed(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text else []


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(map(ip_network, _listed(text)))


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(_listed(text))
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"must be origins like https://bank.example, separated by commas, not {origin!r}")
    return origins


def _duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise ValueError(f"must be a number with ms, s, m, h or d, like 15m, not {text!r}")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"must be true or false, not {text!r}")
    return text == "true"


def _currencies(text: str) -> tuple[str, ...]:
    codes = tuple(code.strip() for code in text.split(","))
    for code in codes:
        if not _CURRENCY.fullmatch(code):
            raise ValueError(f"must be ISO 4217 codes separated by commas, not {code!r}")
    return codes


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one printable line")
    return text


def _email_address(text: str) -> str:
    local, _, domain = _line(text).rpartition("@")
    if not local or not domain or " " in text:
        raise ValueError(f"must be an email address, not {text!r}")
    return text
