"""Who may connect when all places are taken: the newcomer, in place of whoever has been idle for longest."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class Connection(Protocol):
    """What is asked of a connection; `active_at` is on Trio's clock."""

    active_at: float

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight on it."""

    def end(self) -> None:
        """End it, when it is idle."""


def make_room(connections: Collection[Connection], most: int) -> bool:
    """Whether one more may come; ends an idle connection where there are `most`."""
    if len(connections) < most:
        return True
    idle = [connection for connection in connections if connection.is_idle]
    if not idle or len(connections) >= 2 * most:  # those that were ended are still on their way out
        return False
    min(idle, key=lambda connection: connection.active_at).end()
    return True
