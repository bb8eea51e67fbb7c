"""Redis, through redis-py's asyncio client: the one place where Trio crosses into asyncio.

Each unit of work is one crossing: an asyncio function that is given the client and may send several commands.
Time limits are Trio's, because asyncio's do not fire through the bridge; so redis-py's own are switched off, as
are its silent retries, which would repeat commands that may have been carried out.

The event loop lives exactly as long as `open_redis`'s block. A cancelled unit of work closes its connection,
so no reply is ever read by the next user of one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import outcome
import redis.asyncio
import trio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from trio_asyncio import aio_as_trio, open_loop

Result = TypeVar("Result")

CONNECTIONS_MAX = 8
TIMEOUT_S = 5.0
INSIST_S = 0.02
LOOP_NURSERIES = 2
"""`open_loop` wraps what its block raises in one exception group for each of its nurseries."""

_REFUSES_FOR_NOW = (OutOfMemoryError, ReadOnlyError, ClusterDownError, TryAgainError)
# Codes that redis-py has no class for; in a transaction's error they stand behind its own words.
_REFUSES_FOR_NOW_CODE = re.compile(r"\b(MISCONF|NOREPLICAS|BUSY)\b")


class RedisUnavailable(Exception):
    """Redis can not be reached, does not answer in time, or takes no writes (full, replica, disk error).

    A command may or may not have been carried out.
    """


class RedisRefuses(Exception):
    """Redis is there, and neither this user, password nor database is right."""


class Redis:
    """Made by `open_redis`."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client

    async def run(
        self,
        work: Callable[[redis.asyncio.Redis], Awaitable[Result]],
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> Result:
        """Do some work in asyncio; raises RedisUnavailable.

        A command that Redis refuses for good (`ResponseError`) is a defect of ours and raised as it is.
        """
        try:
            with trio.fail_after(timeout_s):
                return await self._cross(work)
        except ResponseError as error:
            if isinstance(error, _REFUSES_FOR_NOW) or _REFUSES_FOR_NOW_CODE.search(str(error)):
                # Without the command, which redis-py puts before what a transaction failed with.
                raise RedisUnavailable(str(error).rpartition("caused error: ")[2]) from error
            raise
        except (RedisError, OSError, trio.TooSlowError) as error:
            raise RedisUnavailable(str(error) or f"no answer within {timeout_s:g} s") from error

    async def _cross(self, work: Callable[[redis.asyncio.Redis], Awaitable[Result]]) -> Result:
        task: asyncio.Task[Result] | None = None

        async def cross(client: redis.asyncio.Redis) -> Result:
            nonlocal task
            task = asyncio.current_task()
            return await work(client)

        async def insist() -> None:
            # redis-py can lose a cancellation while it connects; the bridge tells it once, so we repeat it.
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    while task is not None and not task.done():
                        task.cancel()
                        await trio.sleep(INSIST_S)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(insist)
            crossing: Callable[[redis.asyncio.Redis], Awaitable[Result]] = aio_as_trio(cross)
            result = await outcome.acapture(crossing, self._client)
            nursery.cancel_scope.cancel()
        return result.unwrap()

    async def ping(self) -> None:
        """Raises RedisUnavailable when it is away, RedisRefuses when it does not let us in."""

        async def ping(client: redis.asyncio.Redis) -> Any:
            return await client.ping()

        try:
            await self.run(ping)
        except ResponseError as error:
            raise RedisRefuses(str(error)) from error
        except RedisUnavailable as fault:
            if _is_refusal(fault):
                raise RedisRefuses(str(fault)) from fault
            raise


def _is_refusal(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, AuthenticationError | ResponseError):
            return True
        error = error.__cause__ or error.__context__
    return False


def check_redis_url(url: str) -> None:
    """Raise ValueError, which does not repeat what may be a password, for a URL that redis-py can not use."""
    try:
        _pool(url).make_connection()
    except Exception:  # a ValueError, a TypeError for an unknown parameter, or whatever it comes upon
        raise ValueError(
            "must be redis://USER:PASSWORD@HOST:PORT/NUMBER, rediss://... or unix://PATH"
        ) from None


def _pool(url: str) -> redis.asyncio.BlockingConnectionPool:
    return redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS_MAX,
        timeout=TIMEOUT_S,
        socket_timeout=None,
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 0),
    )


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[Redis]:
    """Redis for the block. Connections are made when needed, so this succeeds while Redis is away."""
    pool = _pool(url)
    client = redis.asyncio.Redis(connection_pool=pool)
    try:
        async with open_loop():
            try:
                yield Redis(client)
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + TIMEOUT_S):
                    await aio_as_trio(pool.disconnect)()
    except BaseExceptionGroup as group:
        raise _unwrapped(group) from None


def _unwrapped(group: BaseException) -> BaseException:
    for _ in range(LOOP_NURSERIES):
        if isinstance(group, BaseExceptionGroup) and len(group.exceptions) == 1:
            group = group.exceptions[0]
    return group
