"""Select lists made from the values they fill, so that statements and values cannot drift apart.

A row selected with `columns(Account)` is read with `Account(*row)`.
"""

from __future__ import annotations

from typing import Any, NamedTuple


def columns(value: type[NamedTuple], alias: str = "") -> str:
    """The fields of a named tuple as a select list, each qualified by `alias` when there is one."""
    names: Any = getattr(value, "_fields")  # noqa: B009 - typing.NamedTuple hides it from the type checker
    return ", ".join(f"{alias}.{name}" if alias else name for name in names)
