"""The redis drill: Redis is stopped, killed, emptied and hung, while money moves and users register."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from cli.drill.judge import Verdict
from cli.drill.mails import all_sent
from cli.drill.proxy import Link
from cli.drill.stage import Stage, none_failed
from persistence.mail_queue import GROUP, STREAM

AWAY_MIN_S, AWAY_MAX_S = 0.5, 2.5
APART_MIN_S, APART_MAX_S = 0.5, 1.5
STEAL_WITHIN_S = 5.0
RECEIVE_BYTES = 64 * 1024
TRANSFER_S = 5.0
"""How long a transfer may take at the most, whatever Redis does: shorter than a request's time."""


async def redis(stage: Stage) -> list[Verdict]:
    """One trouble after another, in an order left to chance, until the time is over and each has been met."""
    troubles: list[Callable[[Stage], Awaitable[None]]] = [_stopped, _killed, _emptied, _hung]
    until = trio.current_time() + stage.seconds
    queue: list[Callable[[Stage], Awaitable[None]]] = []
    async with stage.under_load(registrations=True):
        while trio.current_time() < until or queue:
            if not queue:
                queue = list(troubles)
                stage.rng.shuffle(queue)
            await trio.sleep(stage.rng.uniform(APART_MIN_S, APART_MAX_S))
            await queue.pop()(stage)
    return [
        none_failed(stage.load.history.attempts, "Redis", TRANSFER_S),
        await all_sent(stage.installation.mail, stage.load.history.addresses),
        *await stage.judged(),
    ]


async def _stopped(stage: Stage) -> None:
    await _away(stage, "stopped", stage.installation.redis.stop)


async def _killed(stage: Stage) -> None:
    await _away(stage, "killed", stage.installation.redis.kill)


async def _away(stage: Stage, how: str, end: Callable[[], None]) -> None:
    stage.probe.mark(f"Redis is {how}")
    await trio.to_thread.run_sync(end)
    await trio.sleep(stage.rng.uniform(AWAY_MIN_S, AWAY_MAX_S))
    await trio.to_thread.run_sync(stage.installation.redis.start)
    stage.probe.mark("Redis is back")


async def _emptied(stage: Stage) -> None:
    """When a consumer that will not send it has taken a mail: nobody else knows of it but the outbox."""
    steal = _command(
        "XREADGROUP", "GROUP", GROUP, "thief", "COUNT", "1", "BLOCK", "500", "STREAMS", STREAM, ">"
    )
    async with await stage.installation.open_redis() as line:
        with trio.move_on_after(STEAL_WITHIN_S):
            while True:
                await line.send_all(steal)
                if (await line.receive_some(RECEIVE_BYTES)).startswith(b"*1"):
                    break
        stage.probe.mark("Redis is emptied")
        await line.send_all(_command("FLUSHALL"))
        await line.receive_some(RECEIVE_BYTES)


def _command(*words: str) -> bytes:
    """In Redis's own protocol. https://redis.io/docs/latest/develop/reference/protocol-spec/"""
    parts = (b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in words)
    return b"*%d\r\n%b" % (len(words), b"".join(parts))


async def _hung(stage: Stage) -> None:
    (proxy,) = stage.proxies[Link.REDIS]
    stage.probe.mark("Redis hangs")
    proxy.silent = True
    await trio.sleep(stage.rng.uniform(AWAY_MIN_S, AWAY_MAX_S))
    proxy.silent = False
    stage.probe.mark("Redis goes on")
