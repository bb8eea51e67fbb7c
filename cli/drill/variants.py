"""The variants of the shutdown drill: one of them, or all in turn on one installation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from cli.drill.endings import early, locked, twice, unread, without_postgres, without_redis
from cli.drill.judge import Verdict
from cli.drill.mails import all_sent
from cli.drill.rolling import rolling
from cli.drill.shutdown import shutdown
from cli.drill.stage import Stage

Variant = Callable[[Stage], Awaitable[list[Verdict]]]

PLAIN, ALL = "plain", "all"
_EACH: dict[str, Variant] = {
    PLAIN: shutdown,
    "early": early,
    "twice": twice,
    "redis": without_redis,
    "postgres": without_postgres,
    "unread": unread,
    "locked": locked,
    "rolling": rolling,
}


async def _judged(variants: Sequence[Variant], stage: Stage) -> list[Verdict]:
    verdicts = [verdict for variant in variants for verdict in await variant(stage)]
    promised = stage.load.history.addresses
    if promised:
        verdicts.append(await all_sent(stage.installation.mail, promised))
    return [*verdicts, *await stage.judged()]


SHUTDOWNS: dict[str, Variant] = {
    **{name: partial(_judged, [variant]) for name, variant in _EACH.items()},
    ALL: partial(_judged, list(_EACH.values())),
}
