"""The sessions that were ended lately, in Redis: how processes tell each other at once.

PostgreSQL has the truth (`sessions.ended_at`); this is only faster. A sorted set, scored by Redis's own clock,
so the processes' clocks need not agree.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from persistence.redis import Redis

KEY = "revoked_sessions"
TIMEOUT_S = 1.0


class RevokedSessions:
    """`kept_s` is for how long a session stays in the set: at least as long as an access token is good."""

    def __init__(self, redis: Redis, *, kept_s: float) -> None:
        self._redis = redis
        self._kept_s = kept_s

    async def add(self, session_ids: Collection[UUID]) -> None:
        """Tell the others; raises RedisUnavailable."""

        async def add(client: Any) -> None:
            seconds, microseconds = await client.time()
            now = seconds + microseconds / 1e6
            async with client.pipeline(transaction=True) as pipeline:
                pipeline.zadd(KEY, {str(session_id): now for session_id in session_ids})
                pipeline.zremrangebyscore(KEY, 0, now - self._kept_s)
                pipeline.expire(KEY, int(self._kept_s) + 1)
                await pipeline.execute()

        await self._redis.run(add, timeout_s=TIMEOUT_S)

    async def since(self, age_s: float) -> list[UUID]:
        """What was added no longer ago than `age_s`; raises RedisUnavailable."""

        async def since(client: Any) -> list[bytes]:
            seconds, _ = await client.time()
            found: list[bytes] = await client.zrangebyscore(KEY, seconds - age_s, "+inf")
            return found

        return [UUID(name.decode()) for name in await self._redis.run(since, timeout_s=TIMEOUT_S)]
