"""Pages of lists: sizes, and cursors, which are nothing but where the next page begins."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from application.ledger import PAGE_MAX
from domain.errors import InvalidArgument

Item = TypeVar("Item")

CURSOR = "^[1-9][0-9]{0,17}$"
_CURSOR = re.compile(CURSOR)


def check_limit(limit: int) -> int:
    """The size of a page; raises InvalidArgument."""
    if not 1 <= limit <= PAGE_MAX:
        raise InvalidArgument.field("limit", f"must be between 1 and {PAGE_MAX}")
    return limit


def position(cursor: str | None, first: int) -> int:
    """The number a page starts from; `first` where no cursor was sent. Raises InvalidArgument."""
    if cursor is None:
        return first
    if not _CURSOR.fullmatch(cursor):
        raise InvalidArgument.field("cursor", "must be one that a page returned")
    return int(cursor)


def cut(items: Sequence[Item], limit: int, number: Callable[[Item], int]) -> tuple[Sequence[Item], str | None]:
    """A page, and the cursor of the next one if there was one item more."""
    page = items[:limit]
    if len(items) <= limit:
        return page, None
    return page, str(number(page[-1]))
