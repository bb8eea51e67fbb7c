"""Whether boxes of a diagram overlap, and whether a line runs through one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from infra.docs.diagram.routes import Box, Point


def touching(one: Box, other: Box) -> bool:
    """Whether the boxes have a point in common."""
    return (
        one.x <= other.x + other.width
        and other.x <= one.x + one.width
        and one.y <= other.y + other.height
        and other.y <= one.y + one.height
    )


def runs_through(points: Sequence[Point], box: Box) -> bool:
    """Whether a line of axis-parallel stretches has a point inside of the box, its edge left out."""
    return any(
        min(x, u) < box.x + box.width
        and max(x, u) > box.x
        and min(y, v) < box.y + box.height
        and max(y, v) > box.y
        for (x, y), (u, v) in pairwise(points)
    )
