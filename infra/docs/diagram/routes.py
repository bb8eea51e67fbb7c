"""The ways of the lines: across gutters between the layers, where each net has a vertical track of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from infra.docs.diagram.cards import Card
from infra.docs.diagram.nets import Course, Dock, Edge, Net, courses, layered
from infra.docs.diagram.placement import Placement, place

Point = tuple[float, float]

STUB: Final = 30
"""Between a card and the first track beside it: room for the mark at the end of a line."""
TRACK_GAP: Final = 14
LINE_GAP: Final = 8
"""Lines that are nearer can not be told from each other."""
OVERLAP: Final = 100
"""How many crossings are better than that."""


class Box(NamedTuple):
    """Where a card is."""

    x: float
    y: float
    width: float
    height: float


class Route(NamedTuple):
    """The way of one reference from its row to the row that it refers to, in straight lines."""

    edge: Edge
    net: Net
    points: tuple[Point, ...]


class Layout(NamedTuple):
    """Everything in its place, the top left corner at (0, 0)."""

    boxes: Mapping[str, Box]
    routes: Sequence[Route]
    width: float
    height: float


class Column(NamedTuple):
    """Where a layer is: its cards are of one width."""

    x: float
    width: float


class Pin(NamedTuple):
    """Where a line enters a gutter, or leaves it: at its left (`side` -1) or its right (1)."""

    y: float
    side: int


class Hop(NamedTuple):
    """A line's way across one gutter."""

    gutter: int
    enter: Pin
    leave: Pin


Hops = Sequence[tuple[Course, Sequence[Hop]]]
Xs = Mapping[tuple[int, Net], float]
"""Where a net crosses a gutter."""


def laid_out(cards: Sequence[Card], edges: Sequence[Edge]) -> Layout:
    """Places for `cards`, which are in the order of their declaration, and ways for `edges`. Deterministic."""
    layers = layered(cards, edges)
    by_name = {card.name: card for card in cards}
    placement = place(by_name, layers, courses(edges, layers))
    hops = [(course, _hops(course, placement)) for course in courses(edges, layers)]
    tracks = _tracks(hops)
    columns, xs, width = _across(by_name, layers, tracks)
    boxes = {
        name: Box(columns[layers[name]].x, placement.tops[name], columns[layers[name]].width, card.height)
        for name, card in by_name.items()
    }
    routes = [Route(course.edge, course.net, _points(course, found, boxes, xs)) for course, found in hops]
    bottoms = [box.y + box.height for box in boxes.values()] + [y for route in routes for _, y in route.points]
    return Layout(boxes, routes, width, max(bottoms, default=0))


def _hops(course: Course, placement: Placement) -> list[Hop]:
    heights = [
        placement.tops[course.start.port[0]] + placement.docks[course.start, course.net],
        *(placement.tops[lane] for lane in course.lanes),
        placement.tops[course.end.port[0]] + placement.docks[course.end, course.net],
    ]
    return [
        # What is at the right of a card is at the left of the gutter beside it.
        Hop(
            course.gutter - course.end.side * number,
            Pin(enter, -course.start.side),
            Pin(leave, -course.end.side),
        )
        for number, (enter, leave) in enumerate(pairwise(heights))
    ]


def _tracks(hops: Hops) -> dict[int, list[Net]]:
    """For every gutter its nets from left to right."""
    pins: dict[int, dict[Net, set[Pin]]] = {}
    for course, found in hops:
        for hop in found:
            pins.setdefault(hop.gutter, {}).setdefault(course.net, set()).update((hop.enter, hop.leave))
    return {gutter: _ordered(nets) for gutter, nets in pins.items()}


def _ordered(pins: Mapping[Net, set[Pin]]) -> list[Net]:
    """Nets from left to right: neighbours change places for as long as that spares crossings."""
    order = list(pins)
    for _ in order:
        for left in range(len(order) - 1):
            one, other = order[left : left + 2]
            if _cost(pins[other], pins[one]) < _cost(pins[one], pins[other]):
                order[left : left + 2] = other, one
    return order


def _cost(left: Iterable[Pin], right: Iterable[Pin]) -> int:
    """What it costs to have the track of `left` at the left of that of `right`."""
    going_right = [pin.y for pin in left if pin.side == 1]
    going_left = [pin.y for pin in right if pin.side == -1]
    overlaps = sum(abs(one - other) < LINE_GAP for one in going_right for other in going_left)
    return OVERLAP * overlaps + _crossings(going_right, right) + _crossings(going_left, left)


def _crossings(heights: Iterable[float], pins: Iterable[Pin]) -> int:
    ends = [pin.y for pin in pins]
    return sum(min(ends) < height < max(ends) for height in heights)


def _across(
    cards: Mapping[str, Card], layers: Mapping[str, int], tracks: Mapping[int, Sequence[Net]]
) -> tuple[list[Column], Xs, float]:
    """The layers, every net's track in every gutter, and the whole width."""
    columns: list[Column] = []
    xs: dict[tuple[int, Net], float] = {}
    x = 0.0
    last = max(layers.values(), default=-1)
    for layer in range(last + 1):
        columns.append(Column(x, max(card.width for name, card in cards.items() if layers[name] == layer)))
        x += columns[-1].width
        nets = tracks.get(layer, ())
        xs |= {(layer, net): x + STUB + TRACK_GAP * number for number, net in enumerate(nets)}
        if nets or layer < last:
            x += 2 * STUB + TRACK_GAP * max(len(nets) - 1, 0)
    return columns, xs, x


def _points(course: Course, hops: Sequence[Hop], boxes: Mapping[str, Box], xs: Xs) -> tuple[Point, ...]:
    points = [(_border(boxes, course.start), hops[0].enter.y)]
    for hop in hops:
        x = xs[hop.gutter, course.net]
        points += [(x, hop.enter.y), (x, hop.leave.y)]
    points.append((_border(boxes, course.end), hops[-1].leave.y))
    return tuple(_without_detours(points))


def _border(boxes: Mapping[str, Box], dock: Dock) -> float:
    box = boxes[dock.port[0]]
    return box.x if dock.side == -1 else box.x + box.width


def _without_detours(points: Sequence[Point]) -> list[Point]:
    """The same way with as few points as it needs."""
    kept = [points[0]]
    for here, after in pairwise(points[1:]):
        before = kept[-1]
        if here != before and not (before[0] == here[0] == after[0] or before[1] == here[1] == after[1]):
            kept.append(here)
    return [*kept, points[-1]]
