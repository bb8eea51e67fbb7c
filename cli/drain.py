"""How long each part of a drain may take: shares of the one budget, `SHUTDOWN_GRACE`."""

from __future__ import annotations

from dataclasses import dataclass

LISTEN_S, LISTEN_SHARE = 0.5, 0.05
"""How long listeners stay after we said that we are not ready; a twentieth of a short grace."""
SERVERS, LEDGER, BACKGROUND, CLOSING, EMBEDDED = 0.5, 0.12, 0.12, 0.06, 0.2
"""Of the rest, one after the other: answers, batches, the mail in hand, pools, embedded servers."""
WORKERS = 0.1
"""Of the embedded servers' time, for the parent of several processes to see their end."""
CHILD = 0.9
"""Of a supervisor's time, for one of its children: what then is left is for the supervisor to end."""


@dataclass(frozen=True, slots=True)
class DrainTimes:
    """Seconds for each part, in the order in which they follow each other."""

    listen_s: float
    servers_s: float
    ledger_s: float
    background_s: float
    closing_s: float
    embedded_s: float

    @classmethod
    def within(cls, grace_s: float) -> DrainTimes:
        """Parts that take no longer than the grace together."""
        listen_s = min(LISTEN_S, LISTEN_SHARE * grace_s)
        rest_s = grace_s - listen_s
        shares = SERVERS, LEDGER, BACKGROUND, CLOSING, EMBEDDED
        return cls(listen_s, *(share * rest_s for share in shares))

    @property
    def process_s(self) -> float:
        """All of it but for the embedded servers, which are ended after everything that uses them."""
        return self.listen_s + self.servers_s + self.ledger_s + self.background_s + self.closing_s

    @property
    def workers_s(self) -> float:
        """For several processes: each of them ends itself in `process_s`."""
        return self.process_s + WORKERS * self.embedded_s

    @property
    def embedded_each_s(self) -> float:
        """For each of the two embedded servers."""
        return (1 - WORKERS) / 2 * self.embedded_s
