"""Ids that come from outside."""

from __future__ import annotations

from uuid import UUID

from domain.errors import NotFound


def identifier(text: str, what: str) -> UUID:
    """The UUID that a text is; raises NotFound for any other text, which names nothing there is."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(what) from None
