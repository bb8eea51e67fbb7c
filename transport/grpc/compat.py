"""Lets purerpc 0.8 be imported beside h2 4, which renamed an event (docs/decisions/0003).

To be imported before anything of purerpc's. We use its generated servicers and its `Service` registry; its
connection handling, which the renamed event belongs to, is never run.
"""

from __future__ import annotations

import h2.events

h2.events.PingAcknowledged = h2.events.PingAckReceived  # type: ignore[attr-defined]
