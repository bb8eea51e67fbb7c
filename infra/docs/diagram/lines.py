"""Lines with round corners; those of one net are joined, so that no stretch is drawn twice and dashes stay dashes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import copysign
from typing import Final

from infra.docs.diagram.routes import Point, Route

RADIUS: Final = 8

Stretch = tuple[Point, Point]
"""A straight part of a line, along one axis."""


def joined(routes: Iterable[Route]) -> list[tuple[Point, ...]]:
    """What to draw of the routes of one net: the longest whole, of each other one the part up to what is drawn.

    All of them end at one point, so a route that has met another goes on with it.
    """
    drawn: list[Stretch] = []
    lines = []
    for route in sorted(routes, key=lambda route: -_length(route.points)):
        lines.append(_until_met(route.points, drawn))
        drawn += pairwise(route.points)
    return lines


def path(points: Sequence[Point]) -> str:
    """The `d` of an SVG path through these points."""
    commands = [f"M{_pair(points[0])}"]
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(RADIUS, _distance(before, here) / 2, _distance(here, after) / 2)
        commands.append(f"L{_pair(_towards(here, before, radius))}")
        commands.append(f"Q{_pair(here)} {_pair(_towards(here, after, radius))}")
    return "".join([*commands, f"L{_pair(points[-1])}"])


def _until_met(points: Sequence[Point], drawn: Sequence[Stretch]) -> tuple[Point, ...]:
    """The way up to what is drawn; where it meets that around a corner, with the corner."""
    for number, (start, end) in enumerate(pairwise(points)):
        met = [point for stretch in drawn if (point := _meeting((start, end), stretch)) is not None]
        if met:
            meeting = min(met, key=lambda point: _distance(start, point))
            corner = meeting == start and number > 0
            last = _towards(start, end, min(RADIUS, _distance(start, end) / 2)) if corner else meeting
            return (*points[: number + 1], last)
    return tuple(points)


def _meeting(stretch: Stretch, drawn: Stretch) -> Point | None:
    """The first point of `stretch` that also is of `drawn`, where they lie upon each other."""
    (x, y), (x_end, y_end) = stretch
    (x_low, y_low), (x_high, y_high) = drawn
    if x == x_end == x_low == x_high:
        entry = _entry(y, y_end, *sorted((y_low, y_high)))
        return None if entry is None else (x, entry)
    if y == y_end == y_low == y_high:
        entry = _entry(x, x_end, *sorted((x_low, x_high)))
        return None if entry is None else (entry, y)
    return None


def _entry(start: float, end: float, low: float, high: float) -> float | None:
    """Where the way from `start` to `end` enters what is between `low` and `high`, for more than a point."""
    if start < end:
        return max(start, low) if max(start, low) < min(end, high) else None
    return min(start, high) if min(start, high) > max(end, low) else None


def _distance(one: Point, other: Point) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _length(points: Sequence[Point]) -> float:
    return sum(_distance(one, other) for one, other in pairwise(points))


def _towards(start: Point, end: Point, distance: float) -> Point:
    """The point at this distance from `start` on an axis-parallel way to `end`."""
    x, y = end[0] - start[0], end[1] - start[1]
    return (start[0] + copysign(distance, x) * bool(x), start[1] + copysign(distance, y) * bool(y))


def _pair(point: Point) -> str:
    return f"{point[0]:g},{point[1]:g}"
