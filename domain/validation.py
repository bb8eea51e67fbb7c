"""What well-formed input is. Every function returns what is wrong, in words, or None."""

from __future__ import annotations

import re
from collections.abc import Iterable

from domain.common_passwords import COMMON_PASSWORDS
from domain.errors import FieldError, InvalidArgument
from domain.ledger import AMOUNT_MAX
from domain.policy import Role

ID_MAX = 2**63 - 1
NAME_MAX = 100
EMAIL_MAX = 254
RESERVED_USERNAMES = ("login", "logout", "resend_verification", "password_reset")
PASSWORD_MIN, PASSWORD_MAX = 8, 128

# Expressions that JSON Schema, RE2 and Python read alike: the API's descriptions have them too.
USERNAME = "^[a-z0-9_]{3,32}$"
# C0 and C1, what else breaks lines, and what turns the direction of the text around it (UAX #9).
_CONTROLS = r"\x00-\x1f\x7f-\x9f" + "\u2028-\u202e\u2066-\u2069"
_BLANKS = " \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
PRINTABLE = f"^[^{_CONTROLS}]*$"
NAMED = f"^[{_BLANKS}]*[^{_CONTROLS}{_BLANKS}][^{_CONTROLS}]*$"
"""Printable, and not only blanks."""
WITHOUT_NUL = r"^[^\x00]*$"
KEY = r"^[\x20-\x7e]{1,255}$"

_USERNAME, _PRINTABLE, _NAMED = re.compile(USERNAME), re.compile(PRINTABLE), re.compile(NAMED)
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"[^@\s\x00-\x1f\x7f<>(),;:\\\"\[\]]{{1,64}}@{_LABEL}(?:\.{_LABEL})+")
_ROLES = tuple(role.value for role in Role)
_KEY = re.compile(KEY)


def check(problems: Iterable[tuple[str, str | None]]) -> None:
    """Raise InvalidArgument naming every field whose problem is not None."""
    errors = tuple(FieldError(field, problem) for field, problem in problems if problem is not None)
    if errors:
        raise InvalidArgument("; ".join(f"{error.field} {error.message}" for error in errors), errors)


def username(value: str) -> str | None:
    """3 to 32 of a-z, 0-9 and _, and no word that has a meaning in the API's paths."""
    if not _USERNAME.fullmatch(value):
        return "must be 3 to 32 characters of a-z, 0-9 and _"
    return "is reserved" if value in RESERVED_USERNAMES else None


def password(value: str) -> str | None:
    """Any 8 to 128 characters, but not what everybody chooses; nothing is cut off or normalised."""
    if not PASSWORD_MIN <= len(value) <= PASSWORD_MAX:
        return f"must be {PASSWORD_MIN} to {PASSWORD_MAX} characters"
    if "\x00" in value:  # JSON of ours can not say it: such a password would be good over gRPC only
        return "must not contain NUL"
    return "is one of the most common passwords" if value.casefold() in COMMON_PASSWORDS else None


def role(value: str) -> str | None:
    """One of the roles there are."""
    return None if value in _ROLES else f"must be one of {', '.join(_ROLES)}"


def full_name(value: str) -> str | None:
    """1 to 100 characters, none of them control characters, and not only blanks."""
    ok = len(value) <= NAME_MAX and _NAMED.fullmatch(value)
    return None if ok else f"must be 1 to {NAME_MAX} printable characters"


def email(value: str) -> str | None:
    """An address with a local part and a domain of two labels (RFC 1035) or more; whether it exists is for the
    mail to find out.

    None with an encoded word (RFC 2047): a mail's header would be read as another address.
    """
    ok = len(value) <= EMAIL_MAX and value.isascii() and _EMAIL.fullmatch(value)
    return None if ok and ".." not in value and "=?" not in value else "must be an email address"


def account_name(value: str) -> str | None:
    """At most 100 characters, none of them control characters."""
    ok = len(value) <= NAME_MAX and _PRINTABLE.fullmatch(value)
    return None if ok else f"must be at most {NAME_MAX} printable characters"


def currency(value: str, allowed: Iterable[str]) -> str | None:
    """One of the configured ISO 4217 codes."""
    return None if value in allowed else f"must be one of {', '.join(sorted(allowed))}"


def amount(value: int) -> str | None:
    """Minor units, greater than zero."""
    return None if 0 < value <= AMOUNT_MAX else f"must be between 1 and {AMOUNT_MAX}"


def identifier(value: int) -> str | None:
    """A positive 64-bit integer."""
    return None if 0 < value <= ID_MAX else "must be a positive 64-bit integer"


def idempotency_key(value: str) -> str | None:
    """1 to 255 printable ASCII characters."""
    return None if _KEY.fullmatch(value) else "must be 1 to 255 printable characters"
