"""How often something was tried, counted in Redis so that all processes count together.

A fixed window per limit and subject: it begins with the first try and forgets all of them when it ends. While
Redis is away every process counts for itself, in bounded memory, so a limit is then at most as many times as
high as there are processes. Subjects are stored as hashes: they are addresses and names of people.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import trio

from persistence.redis import Redis, RedisUnavailable

TIMEOUT_S = 0.5
ALONE_S = 5.0
"""For so long Redis is not asked again after it did not answer."""
SUBJECTS_MAX = 10_000
PREFIX = "limit"


class Limit(NamedTuple):
    """At most `tries` in `period_s`, for each subject."""

    name: str
    tries: int
    period_s: int


class Try(NamedTuple):
    """Something done once, that counts against a limit for a subject."""

    limit: Limit
    subject: str

    @property
    def key(self) -> str:
        """Where it is counted."""
        digest = hashlib.blake2b(self.subject.encode(errors="surrogatepass"), digest_size=16).hexdigest()
        return f"{PREFIX}:{self.limit.name}:{digest}"


class Count(NamedTuple):
    """Tries in the present window, with this one, and when it ends."""

    tries: int
    ends_in_s: float


class RateLimits:
    """Counts tries. `now` is a monotonic clock in seconds."""

    def __init__(self, redis: Redis, *, now: Callable[[], float] = trio.current_time) -> None:
        self._redis = redis
        self._now = now
        self._alone_until = -math.inf
        self._windows: dict[str, tuple[int, float]] = {}

    async def count(self, tries: Sequence[Try]) -> list[Count]:
        """Count each of these once more; returns where each then stands."""
        return await self._change(tries, 1)

    async def take_back(self, tries: Sequence[Try]) -> None:
        """Do not count these after all."""
        await self._change(tries, -1)

    async def forget(self, tries: Sequence[Try]) -> None:
        """Begin to count anew."""
        keys = [each.key for each in tries]
        for key in keys:
            self._windows.pop(key, None)
        if self._now() >= self._alone_until:
            try:
                await self._redis.run(lambda client: client.delete(*keys), timeout_s=TIMEOUT_S)
            except RedisUnavailable:
                self._alone_until = self._now() + ALONE_S

    async def _change(self, tries: Sequence[Try], change: int) -> list[Count]:
        if self._now() >= self._alone_until:
            try:
                return await self._redis.run(
                    lambda client: _in_redis(client, tries, change), timeout_s=TIMEOUT_S
                )
            except RedisUnavailable:
                self._alone_until = self._now() + ALONE_S
        return [self._in_memory(each, change) for each in tries]

    def _in_memory(self, one: Try, change: int) -> Count:
        now = self._now()
        tries, ends_at = self._windows.pop(one.key, (0, -math.inf))
        if ends_at <= now:
            tries, ends_at = 0, now + one.limit.period_s
        tries = max(0, tries + change)
        if len(self._windows) >= SUBJECTS_MAX:
            self._windows.pop(next(iter(self._windows)))  # the one that was tried longest ago
        self._windows[one.key] = tries, ends_at
        return Count(tries, ends_at - now)


async def _in_redis(client: Any, tries: Sequence[Try], change: int) -> list[Count]:
    async with client.pipeline(transaction=True) as pipeline:
        for each in tries:
            pipeline.set(each.key, 0, ex=each.limit.period_s, nx=True)
            pipeline.incrby(each.key, change)
            pipeline.pttl(each.key)
        answers = await pipeline.execute()
    # Below zero where the window that it was counted in has ended: the next one owes nothing.
    owed = [each for each, left in zip(tries, answers[1::3], strict=True) if left < 0]
    if change < 0 and owed:
        await _in_redis(client, owed, 1)
    return [Count(answers[at + 1], max(0, answers[at + 2]) / 1000) for at in range(0, len(answers), 3)]
