"""Pages of lists: sizes, and cursors, which mean nothing to clients."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import TypeVar

from application.ledger import PAGE_MAX, SEQ_BEYOND_ALL
from domain.errors import InvalidArgument

Item = TypeVar("Item")


def check_limit(limit: int) -> int:
    """The size of a page; raises InvalidArgument."""
    if not 1 <= limit <= PAGE_MAX:
        raise InvalidArgument.field("limit", f"must be 1 to {PAGE_MAX}")
    return limit


def position(cursor: str | None, first: int) -> int:
    """The number a page starts from; `first` where no cursor was sent. Raises InvalidArgument."""
    if not cursor:
        return first
    try:
        number = int(base64.urlsafe_b64decode(cursor.encode()))
    except ValueError:
        number = 0
    if not 0 < number <= SEQ_BEYOND_ALL:
        raise InvalidArgument.field("cursor", "must be one that a page returned")
    return number


def cut(items: Sequence[Item], limit: int, number: Callable[[Item], int]) -> tuple[Sequence[Item], str | None]:
    """A page, and the cursor of the next one if there was one item more."""
    page = items[:limit]
    if len(items) <= limit:
        return page, None
    return page, base64.urlsafe_b64encode(str(number(page[-1])).encode()).decode()
