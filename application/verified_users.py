"""Whose email address is proven: asked before every transfer, so remembered for a moment.

Only "yes" is remembered, and for `REMEMBERED_S` at most: a user whose address was changed by another process
can move money for so long. In this process the change is known at once.
"""

from __future__ import annotations

from collections import OrderedDict

import trio

from domain.errors import Code, PermissionDenied
from persistence import users
from persistence.pool import Pool

REMEMBERED_S = 5.0
REMEMBERED_MAX = 10_000


class VerifiedUsers:
    """With `required` false everybody passes."""

    def __init__(self, pool: Pool, *, required: bool) -> None:
        self._pool = pool
        self._required = required
        self._until: OrderedDict[str, float] = OrderedDict()
        self._changes = 0

    def is_known(self, username: str) -> bool:
        """Whether there is no need to `check`."""
        return not self._required or self._until.get(username, 0.0) > trio.current_time()

    async def check(self, username: str) -> None:
        """Raises PermissionDenied for a user whose address is not proven."""
        if self.is_known(username):
            return
        changes = self._changes
        async with self._pool.connection() as connection:
            if self.is_known(username):  # somebody asked while this one waited for a connection
                return
            if not await users.is_verified(connection, username):
                raise PermissionDenied("verify your email address first", Code.EMAIL_NOT_VERIFIED)
        if changes != self._changes:  # what was read may be from before somebody's change
            return
        self._until.pop(username, None)
        self._until[username] = trio.current_time() + REMEMBERED_S
        if len(self._until) > REMEMBERED_MAX:
            self._until.popitem(last=False)

    def forget(self, username: str) -> None:
        """Ask again next time."""
        self._changes += 1
        self._until.pop(username, None)
