"""When a call that failed is made again, and after which pause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import trio

from transport import errors
from transport.client.failures import CallFailed, NotSent, StatusError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call is made, and how long apart: pauses double, with jitter.

    A stream that lasted `steady_s` has its attempts anew.
    """

    attempts_max: int = 10
    pause_min_s: float = 0.05
    pause_max_s: float = 2.0
    steady_s: float = 30.0


def is_passing(failure: CallFailed, *, repeatable: bool) -> bool:
    """Whether the same call may be made again, and may do better.

    What is not `repeatable` is made again only if nothing of it was carried out.
    """
    if not isinstance(failure, StatusError):
        return repeatable or isinstance(failure, NotSent)
    if failure.status == errors.RESOURCE_EXHAUSTED:  # nothing was done; some things will never fit
        return failure.retry_after_s is not None
    return repeatable and failure.status == errors.UNAVAILABLE


class Attempts:
    """The attempts of one call. `random` gives floats in [0, 1); `deadline` is on Trio's clock."""

    def __init__(self, policy: RetryPolicy, random: Callable[[], float], deadline: float) -> None:
        self._policy = policy
        self._random = random
        self._deadline = deadline
        self._failed = 0
        self._began_at = trio.current_time()

    def progressed(self) -> None:
        """What has failed before counts no more."""
        self._failed = 0

    async def pause(self, failure: CallFailed, *, passing: bool) -> None:
        """Wait until the time for another attempt; raises the failure where there is none, or it is not `passing`."""
        if trio.current_time() - self._began_at > self._policy.steady_s:
            self._failed = 0
        self._failed += 1
        pause_s = self._pause_s(failure)
        if (
            not passing
            or self._failed >= self._policy.attempts_max
            or trio.current_time() + pause_s >= self._deadline
        ):
            raise failure
        await trio.sleep(pause_s)
        self._began_at = trio.current_time()

    def _pause_s(self, failure: CallFailed) -> float:
        policy = self._policy
        ceiling_s = min(policy.pause_min_s * 2.0 ** (self._failed - 1), policy.pause_max_s)
        pause_s = ceiling_s * (0.5 + self._random() / 2)
        if isinstance(failure, StatusError) and failure.retry_after_s is not None:
            return max(pause_s, failure.retry_after_s)
        return pause_s
