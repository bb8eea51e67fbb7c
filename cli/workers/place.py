"""What a worker is given by its parent: a number, the sockets of both ports, and an end of a line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

READY, METRICS = b"ready", b"metrics"
"""What is asked on the line. A worker says that it takes work; both sides ask for metrics: of one, or of all."""


@dataclass(frozen=True, slots=True)
class Place:
    """Descriptors, as they stand on a worker's command line."""

    number: int
    http: list[int]
    grpc: list[int]
    line: int

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Place:
        """What `str` has made."""
        return cls(**json.loads(text))

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All of them."""
        return *self.http, *self.grpc, self.line
