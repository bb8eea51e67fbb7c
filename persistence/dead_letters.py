"""Mails that were given up, for whoever looks after the service: to look at, and to forget.

The mail queue buries them, and revives them on demand. Every method raises RedisUnavailable.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from persistence.mail_queue import DEAD, key_of, mark_finished
from persistence.redis import Redis

PURGE_CHUNK = 100


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Which row of the outbox it came from, when it was given up and why. Never what is in it."""

    outbox_id: int
    buried_at: datetime
    reason: str


class DeadLetters:
    """All dead letters of the service, whichever process gave them up."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def newest(self, limit: int) -> list[DeadLetter]:
        """The newest first."""

        async def read(client: Any) -> Any:
            return await client.xrevrange(DEAD, count=limit)

        return [_letter(entry_id, fields) for entry_id, fields in await self._redis.run(read)]

    async def purge(self) -> int:
        """Forget all of them, for good; returns how many."""

        async def purge(client: Any) -> int:
            purged, there = 0, int(await client.xlen(DEAD))
            while purged < there and (letters := await client.xrange(DEAD, count=PURGE_CHUNK)):
                async with client.pipeline(transaction=True) as pipeline:
                    for entry_id, fields in letters:
                        mark_finished(pipeline, key_of(fields[b"sealed"]))
                        pipeline.xdel(DEAD, entry_id)
                    await pipeline.execute()
                purged += len(letters)
            return purged

        return await self._redis.run(purge)


def _letter(entry_id: bytes, fields: dict[bytes, bytes]) -> DeadLetter:
    milliseconds = int(entry_id.partition(b"-")[0])
    return DeadLetter(
        int(fields[b"outbox_id"]),
        datetime.fromtimestamp(milliseconds / 1000, UTC),
        fields[b"reason"].decode(errors="replace"),
    )
