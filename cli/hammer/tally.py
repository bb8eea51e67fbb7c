"""What came of a load, so far: outcomes, and latencies in bounded memory."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

OK = "ok"
SAMPLES_MAX = 2**24
"""64 MiB of latencies: 600 s, the longest run, at 28,000 a second."""
LATENCY_MAX_US = 2**32 - 1


class Answer(NamedTuple):
    """What a transfer got: `ok` or a code; whether no healthy service answers so; when to come back."""

    code: str
    lost: bool = False
    retry_after_s: float = 0.0


@dataclass(slots=True)
class Tally:
    """May be watched while it is filled. Latencies are microseconds, 4 bytes each."""

    latencies_us: array[int] = field(default_factory=lambda: array("I"))
    outcomes: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    in_flight: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Acknowledged transfers per second."""
        return self.outcomes[OK] / self.seconds if self.seconds else 0.0

    def record(self, answer: Answer, latency_s: float) -> None:
        """One answer; latencies beyond SAMPLES_MAX are counted among the outcomes only."""
        self.outcomes[answer.code] += 1
        self.lost += answer.lost
        if len(self.latencies_us) < SAMPLES_MAX:
            self.latencies_us.append(min(int(latency_s * 1e6), LATENCY_MAX_US))

    def record_failure(self, why: str, number: int = 1) -> None:
        """Transfers that got no answer, and so have no latency."""
        self.outcomes[f"transport: {why}"] += number
        self.lost += number

    def percentiles_ms(self, shares: Sequence[float]) -> list[float]:
        """For each share, the least latency that so many of the answers stayed within (nearest rank)."""
        ordered = sorted(self.latencies_us)
        if not ordered:
            return [0.0] * len(shares)
        return [nearest_rank(ordered, share) / 1000 for share in shares]


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """The least of these, from the least to the greatest, that so many of them do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
