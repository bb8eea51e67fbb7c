"""How often a supervisor restarts: an intensity beyond which it gives up, or pauses with which it never does."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartIntensity:
    """At most `max_restarts` within `period_s` seconds."""

    max_restarts: int = 3
    period_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses before restarts: `min_s`, doubled with every crash up to `max_s`.

    A child that has run for longer than `max_s` begins anew.
    """

    min_s: float = 0.1
    max_s: float = 2.0

    def after(self, pause_s: float) -> float:
        """The pause that follows one of `pause_s` seconds; 0 when there was none."""
        return min(self.max_s, max(self.min_s, 2 * pause_s))


class RestartIntensityExceeded(Exception):
    """A supervisor gave up; the cause is the last crash."""


class RestartCounter:
    """Decides whether one more restart is within the intensity; the clock is the caller's."""

    def __init__(self, intensity: RestartIntensity) -> None:
        self._intensity = intensity
        self._times: deque[float] = deque()

    def allows(self, now: float) -> bool:
        """Count a restart at `now`; False when it is one too many."""
        self._times.append(now)
        while self._times[0] <= now - self._intensity.period_s:
            self._times.popleft()
        return len(self._times) <= self._intensity.max_restarts
