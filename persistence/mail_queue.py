"""The mail queue: a Redis stream read by a consumer group.

A mail is delivered at least once. It stays pending with its consumer until it is acknowledged, so a consumer
that dies loses nothing: another takes over what nobody has held for too long. Every copy of a mail has the
same `key`, and the mark of what was sent keeps later copies from being sent again. The mark is made after the
sending, together with the acknowledgement: a crash between the two sends the mail twice, with one Message-ID.
(The other order would lose it.)

The keys of all mails that are not sent yet are in `QUEUED` too, dead letters included: a mail that is neither there nor
marked was lost with what Redis has forgotten, and its relay adds it again. The group is made anew when it is missed.
Called by the outbox relay and the email actor. Every method raises RedisUnavailable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple

from redis.exceptions import ResponseError

from persistence.redis import TIMEOUT_S, Redis

STREAM: Final = "mail"
DEAD: Final = "mail:dead"
ATTEMPTS: Final = "mail:attempts"
QUEUED: Final = "mail:queued"
SENT: Final = "mail:sent:"
GROUP: Final = "email-actors"
SENT_MARK_S: Final = 7 * 86_400
GROUP_LOST: Final = ("NOGROUP", "UNBLOCKED")
"""How Redis says that the stream or its group is not there, at the start of a read or in its middle."""
STREAM_MAX: Final = 10_000
"""Mails in the queue; more stay in the outbox. Relays may overshoot by a chunk each."""
DEAD_MAX: Final = 10_000
"""Dead letters kept; older ones are dropped."""
GIVE_BACK_MAX: Final = 2_000
REASON_MAX: Final = 500
CONSUMER_FORGOTTEN_S: Final = 86_400
REVIVE_CHUNK: Final = 100

# In one step, as a consumer is forgotten together with whatever is pending with it.
FORGET_IDLE_CONSUMER = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
"""


# In one step, so that two people who do it at once revive nothing twice.
REVIVE = """
local letters = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[1])
for _, letter in ipairs(letters) do
    local fields = {}
    for i = 1, #letter[2], 2 do fields[letter[2][i]] = letter[2][i + 1] end
    redis.call('XADD', KEYS[2], '*', 'outbox_id', fields['outbox_id'], 'sealed', fields['sealed'])
    redis.call('XDEL', KEYS[1], letter[1])
end
return #letters
"""


class Fate(Enum):
    """What became of a mail that was added: under way or a dead letter, finished, or forgotten by Redis."""

    QUEUED = "queued"
    FINISHED = "finished"
    LOST = "lost"


class QueueFull(Exception):
    """The queue holds STREAM_MAX mails."""


class QueuedMail(NamedTuple):
    """One entry of the stream; `deliveries` counts the consumers it was handed to."""

    entry_id: str
    outbox_id: int
    sealed: bytes
    deliveries: int = 1

    @property
    def key(self) -> str:
        """The same for every copy."""
        return key_of(self.sealed)


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many mails wait, are in some consumer's hands, and were given up."""

    waiting: int
    pending: int
    dead: int


class MailQueue:
    """One consumer's view of the queue; `consumer` is a name that no other process has."""

    def __init__(self, redis: Redis, consumer: str) -> None:
        self._redis = redis
        self._consumer = consumer

    async def add(self, mails: Sequence[tuple[int, bytes]]) -> None:
        """Append (outbox id, sealed) mails, all or none; raises QueueFull."""

        async def add(client: Any) -> bool:
            if await client.xlen(STREAM) + len(mails) > STREAM_MAX:
                return False
            async with client.pipeline(transaction=True) as pipeline:
                for outbox_id, sealed in mails:
                    pipeline.sadd(QUEUED, key_of(sealed))
                    pipeline.xadd(STREAM, {"outbox_id": outbox_id, "sealed": sealed})
                await pipeline.execute()
            return True

        if not await self._redis.run(add):
            raise QueueFull(f"the mail queue holds {STREAM_MAX} mails")

    async def fates(self, mails: Sequence[bytes]) -> list[Fate]:
        """What became of each of these sealed mails, all of which were added once."""

        async def look(client: Any) -> list[Fate]:
            keys = [key_of(sealed) for sealed in mails]
            async with client.pipeline(transaction=True) as pipeline:
                pipeline.smismember(QUEUED, keys)
                for key in keys:
                    pipeline.exists(SENT + key)
                queued, *finished = await pipeline.execute()
            return [
                Fate.QUEUED if waits else Fate.FINISHED if done else Fate.LOST
                for waits, done in zip(queued, finished, strict=True)
            ]

        fates: list[Fate] = await self._redis.run(look)
        return fates

    async def read(self, count: int, *, block_s: float) -> list[QueuedMail]:
        """New mails for this consumer; waits for the first one, `block_s` at most."""

        async def read(client: Any) -> Any:
            return await client.xreadgroup(
                GROUP, self._consumer, {STREAM: ">"}, count=count, block=max(1, int(block_s * 1000))
            )

        streams = await self._in_group(read, timeout_s=block_s + TIMEOUT_S)
        return [_mail(*entry) for entries in _entries_of(streams) for entry in entries]

    async def claim_stale(self, *, idle_s: float) -> QueuedMail | None:
        """Take over the oldest mail that nobody has read or held for `idle_s`."""

        async def claim(client: Any) -> QueuedMail | None:
            cursor = b"0-0"
            while True:  # ends: each page is further along what is pending
                page = await client.xautoclaim(
                    STREAM, GROUP, self._consumer, int(idle_s * 1000), start_id=cursor, count=1
                )
                cursor, entries = page[0], page[1]
                for entry_id, fields in entries:
                    if fields:
                        (state,) = await client.xpending_range(STREAM, GROUP, entry_id, entry_id, 1)
                        return _mail(entry_id, fields, int(state["times_delivered"]))
                if cursor == b"0-0":
                    return None

        claimed: QueuedMail | None = await self._in_group(claim)
        return claimed

    async def hold(self, mails: Sequence[QueuedMail]) -> set[str]:
        """Say that these are still being worked on, so that they do not become stale.

        Returns the entry ids that another consumer has by now: hands off. What Redis does not know any more
        is not among them, because it may be that only we still have it.
        """

        async def hold(client: Any) -> set[str]:
            async with client.pipeline(transaction=False) as pipeline:
                for mail in mails:
                    pipeline.xpending_range(STREAM, GROUP, mail.entry_id, mail.entry_id, 1)
                states = [state for found in await pipeline.execute() for state in found]
            ours = [each["message_id"] for each in states if each["consumer"] == self._consumer.encode()]
            if ours:
                await client.xclaim(STREAM, GROUP, self._consumer, 0, ours, justid=True)
            return {each["message_id"].decode() for each in states} - {each.decode() for each in ours}

        taken: set[str] = await self._in_group(hold)
        return taken

    async def was_sent(self, mail: QueuedMail) -> bool:
        """Whether a copy of this mail was sent before."""

        async def look(client: Any) -> Any:
            return await client.exists(SENT + mail.key)

        return bool(await self._redis.run(look))

    async def acknowledge(self, mail: QueuedMail) -> None:
        """It was sent: marked, and out of the queue."""

        async def acknowledge(client: Any) -> None:
            async with client.pipeline(transaction=True) as pipeline:
                mark_finished(pipeline, mail.key)
                _take_out(pipeline, mail)
                await pipeline.execute()

        await self._redis.run(acknowledge)

    async def count_attempt(self, mail: QueuedMail) -> int:
        """Remember one more failed attempt; returns how many there were, by whichever consumer."""

        async def increment(client: Any) -> Any:
            return await client.hincrby(ATTEMPTS, mail.key, 1)

        return int(await self._redis.run(increment))

    async def bury(self, mail: QueuedMail, reason: str) -> None:
        """Give up: to the dead letters, out of the queue, at once."""

        async def bury(client: Any) -> None:
            async with client.pipeline(transaction=True) as pipeline:
                letter = {"outbox_id": mail.outbox_id, "sealed": mail.sealed, "reason": reason[:REASON_MAX]}
                pipeline.xadd(DEAD, letter, maxlen=DEAD_MAX, approximate=True)
                _take_out(pipeline, mail)
                await pipeline.execute()

        await self._redis.run(bury)

    async def revive_dead(self) -> int:
        """Put every dead letter back, each with all its attempts again; returns how many."""

        async def revive(client: Any) -> int:
            revived, there = 0, int(await client.xlen(DEAD))
            while revived < there:  # and not the ones that die again meanwhile
                chunk = int(await client.eval(REVIVE, 2, DEAD, STREAM, min(REVIVE_CHUNK, there - revived)))
                if not chunk:
                    break
                revived += chunk
            return revived

        return await self._redis.run(revive)

    async def counts(self) -> QueueCounts:
        """A snapshot."""

        async def count(client: Any) -> QueueCounts:
            async with client.pipeline(transaction=True) as pipeline:
                pipeline.xlen(STREAM)
                pipeline.xpending(STREAM, GROUP)
                pipeline.xlen(DEAD)
                length, pending, dead = await pipeline.execute()
            held = int(pending["pending"])
            return QueueCounts(max(0, length - held), held, dead)

        counts: QueueCounts = await self._in_group(count)
        return counts

    async def leave(self) -> int:
        """Give back what is pending with this consumer, for others to read at once; returns how many.

        After it this consumer is forgotten, as are those without mails that nobody has seen for a day.
        """

        async def leave(client: Any) -> int:
            held = await client.xpending_range(STREAM, GROUP, "-", "+", GIVE_BACK_MAX, self._consumer)
            for state in held:
                entry_id = state["message_id"]
                async with client.pipeline(transaction=True) as pipeline:
                    for _, fields in await client.xrange(STREAM, entry_id, entry_id):
                        pipeline.xadd(STREAM, fields)
                    pipeline.xack(STREAM, GROUP, entry_id)
                    pipeline.xdel(STREAM, entry_id)
                    await pipeline.execute()
            seen = await client.xinfo_consumers(STREAM, GROUP)
            gone = [each["name"] for each in seen if each["idle"] > CONSUMER_FORGOTTEN_S * 1000]
            for name in {*gone, self._consumer.encode()}:
                await client.eval(FORGET_IDLE_CONSUMER, 1, STREAM, GROUP, name)
            return len(held)

        given_back: int = await self._in_group(leave)
        return given_back

    async def _in_group(self, work: Any, *, timeout_s: float = TIMEOUT_S) -> Any:
        # The group is made when it is missed: at first, and after Redis has lost everything. (In a pipeline
        # the code stands behind redis-py's own words.)
        async def attempt(client: Any) -> Any:
            try:
                return await work(client)
            except ResponseError as error:
                if not any(code in str(error) for code in GROUP_LOST):
                    raise
            try:
                await client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise
            return await work(client)

        return await self._redis.run(attempt, timeout_s=timeout_s)


def key_of(sealed: bytes) -> str:
    """What a mail is known by. Not the outbox's id, which a new database would use again."""
    return hashlib.sha256(sealed).hexdigest()[:32]


def mark_finished(pipeline: Any, key: str) -> None:
    """Neither sent nor added again, for as long as the mark lasts."""
    pipeline.set(SENT + key, 1, ex=SENT_MARK_S)
    pipeline.srem(QUEUED, key)


def _take_out(pipeline: Any, mail: QueuedMail) -> None:
    pipeline.xack(STREAM, GROUP, mail.entry_id)
    pipeline.xdel(STREAM, mail.entry_id)
    pipeline.hdel(ATTEMPTS, mail.key)


def _entries_of(streams: Any) -> list[Any]:
    # redis-py gives a list of pairs for RESP2, and a map of lists of pages for RESP3.
    if isinstance(streams, dict):
        return [page for pages in streams.values() for page in pages]
    return [entries for _, entries in streams or []]


def _mail(entry_id: bytes, fields: dict[bytes, bytes], deliveries: int = 1) -> QueuedMail:
    # What somebody else wrote into the stream becomes a mail that can not be opened, and so a dead letter.
    outbox_id = fields.get(b"outbox_id", b"")
    number = int(outbox_id) if outbox_id.isdigit() else 0
    return QueuedMail(entry_id.decode(), number, fields.get(b"sealed", b""), deliveries)
