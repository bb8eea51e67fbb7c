"""Password hashing: argon2id in worker threads, a few at a time.

Hashing costs about 30 ms of a core and 19 MiB by design. The limiter keeps a rush of logins from taking the
cores away from transfers, and its queue is bounded: beyond it callers are told to come back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from domain.errors import Overloaded

Result = TypeVar("Result")

MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1
"""OWASP's recommendation for argon2id."""


class Passwords:
    """Hashes and verifies; at most `threads_max` at once, `waiting_max` in all."""

    def __init__(self, *, threads_max: int = 2, waiting_max: int = 200) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._limiter = trio.CapacityLimiter(threads_max)
        self._waiting_max = waiting_max
        self._waiting = 0
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """The argon2id hash, in its own self-describing format."""
        return await self._in_thread(lambda: self._hasher.hash(password))

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether the password is right. With no hash it takes as long and is False: a caller cannot tell."""
        if hashed is None:
            if self._nobody is None:
                self._nobody = await self.hash("nobody has this password")
            await self._in_thread(lambda: self._matches(self._nobody, password))
            return False
        return await self._in_thread(lambda: self._matches(hashed, password))

    def _matches(self, hashed: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(hashed or "", password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= self._waiting_max:
            raise Overloaded("too many logins at once", retry_after_s=2)
        self._waiting += 1
        try:
            return await trio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._waiting -= 1
