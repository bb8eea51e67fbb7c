"""Percent-encoding as `google/api/http.proto` has it: what a client wrote, back into text."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_to_bytes

_MALFORMED = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SLASH = re.compile("(%2[Ff])")


def check(text: str) -> None:
    """Raise ValueError where a percent sign begins no escape, or what is escaped is no UTF-8."""
    if _MALFORMED.search(text):
        raise ValueError("has a percent sign that is followed by no two hexadecimal digits")
    if not _is_utf8(text):
        raise ValueError("must be UTF-8")


def decode(text: str) -> str:
    """The value of a variable of one segment: everything is decoded. Raises ValueError."""
    if "%" not in text:
        return text
    check(text)
    return unquote(text)


def decode_segments(text: str) -> str:
    """The value of a variable of several segments: `%2F` and `%2f` stay as they are. Raises ValueError."""
    if "%" not in text:
        return text
    check(text)
    return "".join(part if _SLASH.fullmatch(part) else unquote(part) for part in _SLASH.split(text))


def _is_utf8(text: str) -> bool:
    try:
        unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return False
    return True
