"""What the text of a setting means; every function raises ValueError with what it must be.

No error repeats a value that may hold a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from actors.delivery import parse_smtp_url
from domain import validation
from persistence.connection import check_conninfo
from persistence.redis import check_redis_url

DURATION_MAX = timedelta(days=3650)
PORT_MAX = 65_535
WORKERS_MAX = 64
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_CURRENCY = re.compile(r"[A-Z]{3}")
_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_NUMERIC = re.compile(r"[0-9.]+")
_ADDRESS = re.compile(r"(\[[^]]+\]|[^:\[\]]+):([0-9]{1,5})")
_PUBLIC_URL = re.compile(r"https?://(\[[^]/]+\]|[^:/\[\]]+)(?::([0-9]{1,5}))?(?:/[A-Za-z0-9._~-]+)*/?")
_ORIGIN = re.compile(r"(https?)://(\[[^]/]+\]|[^:/\[\]]+)(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def one_of(*allowed: str) -> Callable[[str], str]:
    """One of a few words."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be {' or '.join(allowed)}, not {text!r}")
        return text

    return parse


def boolean(text: str) -> bool:
    """True or false."""
    return one_of("true", "false")(text) == "true"


def workers(text: str) -> int:
    """How many processes serve."""
    if not re.fullmatch(r"[1-9][0-9]?", text) or int(text) > WORKERS_MAX:
        raise ValueError(f"must be a whole number from 1 to {WORKERS_MAX}")
    return int(text)


def line(text: str) -> str:
    """Printable characters."""
    if not text.isprintable():
        raise ValueError("must be one printable line")
    return text


def folder(text: str) -> Path:
    """A folder that is there, or that may be made."""
    path = Path(text)
    try:
        found = next(each for each in (path, *path.absolute().parents) if each.exists())
    except OSError as error:
        raise ValueError(f"can not be a folder: {error.strerror}") from None
    if not found.is_dir():
        raise ValueError(f"must be a folder, and {str(found)!r} is none")
    return path


def database_url(text: str) -> str:
    """What libpq takes, as a URL."""
    _scheme(text, "postgresql", "postgres")
    check_conninfo(text)
    return text


def redis_url(text: str) -> str:
    """What redis-py takes."""
    _scheme(text, "redis", "rediss", "unix")
    check_redis_url(text)
    return text


def smtp_url(text: str) -> str:
    """See `actors.delivery.parse_smtp_url`."""
    parse_smtp_url(text)
    return text


def public_url(text: str) -> str:
    """The base of links: a host, maybe a port and a path; without the slash at its end."""
    match = _PUBLIC_URL.fullmatch(text)
    if match is None or not _is_host(match[1]) or not _is_port(match[2] or "80"):
        raise ValueError("must be http://HOST or https://HOST, with a port or a path where there is one")
    return text.rstrip("/")


def address(text: str) -> str:
    """Where to listen. Port 0 is any that is free."""
    match = _ADDRESS.fullmatch(text)
    if match is None or not _is_host(match[1]) or int(match[2]) > PORT_MAX:
        raise ValueError(f"must be HOST:PORT, with brackets around an IPv6 address, not {text!r}")
    return text


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Addresses and networks."""
    return tuple(map(ip_network, listed(text)))


def origins(text: str) -> tuple[str, ...]:
    """Origins as a browser sends them (RFC 6454, section 6.2): lower case, and no port where it is the default."""
    found = tuple(listed(text))
    for origin in found:
        match = _ORIGIN.fullmatch(origin)
        port = match and match[3]
        if (
            match is None
            or not _is_host(match[2])
            or origin != origin.lower()
            or (port and (not _is_port(port) or port == _DEFAULT_PORTS[match[1]]))
        ):
            raise ValueError(f"must be origins like https://bank.example, separated by commas, not {origin!r}")
    return found


def secret(text: str) -> bytes:
    """32 bytes, as they are or in hexadecimal digits."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    raw = text.encode(errors="surrogateescape")  # as the environment had it
    if len(raw) != 32:
        raise ValueError("must be exactly 32 bytes, as they are or as 64 hexadecimal digits")
    return raw


def secrets(text: str) -> tuple[bytes, ...]:
    """Several of them, each once."""
    found = tuple(map(secret, listed(text)))
    if len(set(found)) < len(found):
        raise ValueError("has a key twice")
    return found


def duration(*, least_s: float) -> Callable[[str], timedelta]:
    """A whole number of some unit."""

    def parse(text: str) -> timedelta:
        match = _DURATION.fullmatch(text)
        if match is None:
            raise ValueError(f"must be a number with ms, s, m, h or d, like 15m, not {text!r}")
        found_s = int(match[1]) * _UNITS[match[2]]
        if not least_s <= found_s <= DURATION_MAX.total_seconds():
            raise ValueError(f"must be between {least_s:g}s and {DURATION_MAX.days}d, not {text!r}")
        return timedelta(seconds=found_s)

    return parse


def currencies(text: str) -> tuple[str, ...]:
    """Codes, each once."""
    codes = tuple(listed(text))
    for code in codes:
        if not _CURRENCY.fullmatch(code):
            raise ValueError(f"must be ISO 4217 codes separated by commas, not {code!r}")
    if len(set(codes)) < len(codes):
        raise ValueError("has a currency twice")
    return codes


def email_address(text: str) -> str:
    """An address that mails may come from."""
    return _valid(validation.email, text)


def username(text: str) -> str:
    """What the domain lets a user be called."""
    return _valid(validation.username, text)


def password(text: str) -> str:
    """What the domain lets a password be."""
    text.encode()  # surrogates, which are no text, are a ValueError
    return _valid(validation.password, text)


def listed(text: str) -> list[str]:
    """What commas separate."""
    return [item.strip() for item in text.split(",")] if text else []


def _valid(problem: Callable[[str], str | None], text: str) -> str:
    found = problem(text)
    if found is not None:
        raise ValueError(found)
    return text


def _scheme(text: str, *schemes: str) -> None:
    try:
        scheme = urlsplit(text).scheme
    except ValueError:
        scheme = ""
    if scheme not in schemes or "://" not in text:
        raise ValueError(f"must be a URL, beginning with {' or '.join(f'{each}://' for each in schemes)}")


def _is_port(text: str) -> bool:
    return 0 < int(text) <= PORT_MAX


def _is_host(text: str) -> bool:
    bracketed = text.startswith("[")
    if bracketed or _NUMERIC.fullmatch(text):
        try:
            return (ip_address(text.strip("[]")).version == 6) == bracketed
        except ValueError:
            return False
    return _HOSTNAME.fullmatch(text) is not None
