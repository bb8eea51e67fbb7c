"""How high cards and lanes stand within their layers: near what they are connected with, and never over another.

In a given order everything is put as near to where its lines would be straight as the gaps allow: a
least-squares problem per layer, whose exact solution is found by merging neighbours that push each other (pool
adjacent violators). Of the orders, those are taken in which the lines have less to climb.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from infra.docs.diagram.cards import Card
from infra.docs.diagram.nets import Course, Dock, Lane, Net

Node = str | Lane
"""What is placed: a card, by its name, or a lane."""

SWEEPS: Final = 8
"""How often all layers are gone through, to and fro, for one order."""
ROUNDS_MAX: Final = 8
"""How often neighbours are tried in each other's place."""
CARD_GAP: Final = 36
LANE_GAP: Final = 24
"""Between a lane and a card."""
LANES_GAP: Final = 12
DOCK_GAP: Final = 10
"""Between nets that meet one row on one side."""
WEIGHTS: Final = (1, 2, 100_000)
"""Of a line between cards, a card and a lane, two lanes: lanes are kept straight before anything else."""
WEIGHT_ALONE: Final = 0.01
"""Of a card without lines."""


class Placement(NamedTuple):
    """The top of every card and lane, and where, below its card's top, each net meets a row."""

    tops: Mapping[Node, float]
    docks: Mapping[tuple[Dock, Net], float]


class Tie(NamedTuple):
    """A line from a node to another; it is straight when the node's top is by `shift` below the other's."""

    other: Node
    shift: float
    weight: int


class Block(NamedTuple):
    """Neighbours in a stack that stand as close as they may.

    `place` is where the whole stack would begin if all of it stood like this.
    """

    place: float
    weight: float
    size: int


Ties = Mapping[Node, Iterable[Tie]]
Heights = Mapping[Node, float]


def place(cards: Mapping[str, Card], layers: Mapping[str, int], courses: Sequence[Course]) -> Placement:
    """Heights for everything, the topmost at 0."""
    docks = _docks(cards, courses)
    ties = _ties(courses, docks)
    heights: Heights = {name: card.height for name, card in cards.items()}
    stacks: list[list[Node]] = [[] for _ in range(1 + max(layers.values(), default=-1))]
    for name, layer in layers.items():
        stacks[layer].append(name)
    for lane in dict.fromkeys(lane for course in courses for lane in course.lanes):
        stacks[lane.layer].append(lane)
    tops = _best(stacks, heights, ties)
    highest = min(tops.values(), default=0)
    return Placement({node: round(top - highest) for node, top in tops.items()}, docks)


def _docks(cards: Mapping[str, Card], courses: Iterable[Course]) -> dict[tuple[Dock, Net], float]:
    nets: dict[Dock, dict[Net, None]] = {}
    for course in courses:
        for dock in (course.start, course.end):
            nets.setdefault(dock, {})[course.net] = None
    return {
        (dock, net): cards[dock.port[0]].rows[dock.port[1]] + DOCK_GAP * (number - (len(found) - 1) / 2)
        for dock, found in nets.items()
        for number, net in enumerate(found)
    }


def _ties(courses: Iterable[Course], docks: Mapping[tuple[Dock, Net], float]) -> Ties:
    found: dict[Node, dict[Tie, None]] = {}
    for course in courses:
        stops: list[tuple[Node, float]] = [
            (course.start.port[0], docks[course.start, course.net]),
            *((lane, 0.0) for lane in course.lanes),
            (course.end.port[0], docks[course.end, course.net]),
        ]
        for (one, below), (other, other_below) in pairwise(stops):
            weight = WEIGHTS[isinstance(one, Lane) + isinstance(other, Lane)]
            # Lines of one net that run together are one line.
            found.setdefault(one, {})[Tie(other, other_below - below, weight)] = None
            found.setdefault(other, {})[Tie(one, below - other_below, weight)] = None
    return found


def _best(stacks: Sequence[list[Node]], heights: Heights, ties: Ties) -> dict[Node, float]:
    """Tops for the best order that is reached by changing neighbours for as long as that helps."""
    best = _relaxed(stacks, heights, ties)
    for _ in range(ROUNDS_MAX):
        before = best
        for stack in stacks:
            for above in range(len(stack) - 1):
                pair = stack[above : above + 2]
                stack[above : above + 2] = reversed(pair)
                tops = _relaxed(stacks, heights, ties)
                if _climb(tops, ties) < _climb(best, ties):
                    best = tops
                else:
                    stack[above : above + 2] = pair
        if best is before:
            break
    return best


def _climb(tops: Mapping[Node, float], ties: Ties) -> int:
    """How far all lines have to climb; whole, so that rounding errors decide nothing."""
    return round(sum(abs(tops[n] - tops[tie.other] - tie.shift) for n, own in ties.items() for tie in own))


def _relaxed(stacks: Sequence[Sequence[Node]], heights: Heights, ties: Ties) -> dict[Node, float]:
    """Tops for stacks in the order that they have."""
    tops: dict[Node, float] = {}
    for stack in stacks:
        tops |= _settled(stack, heights, dict.fromkeys(stack, (0.0, 1.0)))
    for sweep in range(SWEEPS):
        for stack in stacks if sweep % 2 == 0 else reversed(stacks):
            tops |= _settled(stack, heights, _wanted(stack, tops, ties))
    return tops


def _wanted(stack: Sequence[Node], tops: Mapping[Node, float], ties: Ties) -> dict[Node, tuple[float, float]]:
    """Where their lines would have the nodes, and how strongly; those without stay with the others."""
    middle = sum(tops[node] for node in stack) / len(stack)
    wanted = dict.fromkeys(stack, (middle, WEIGHT_ALONE))
    for node in stack:
        own = [tie for tie in ties.get(node, ()) if tie.other != node]
        if own:
            weight = sum(tie.weight for tie in own)
            wanted[node] = sum(tie.weight * (tops[tie.other] + tie.shift) for tie in own) / weight, weight
    return wanted


def _settled(
    stack: Sequence[Node], heights: Heights, wanted: Mapping[Node, tuple[float, float]]
) -> dict[Node, float]:
    """Tops in the order of `stack`, as near to what is wanted as the gaps allow."""
    offsets = [0.0]
    for above, below in pairwise(stack):
        offsets.append(offsets[-1] + heights.get(above, 0) + _gap(above, below))
    blocks: list[Block] = []
    for node, offset in zip(stack, offsets, strict=False):
        place, weight = wanted[node]
        blocks.append(Block(place - offset, weight, 1))
        while len(blocks) > 1 and blocks[-2].place > blocks[-1].place:
            pushing = blocks.pop()
            blocks.append(_merged(blocks.pop(), pushing))
    places = [block.place for block in blocks for _ in range(block.size)]
    return {node: place + offset for node, place, offset in zip(stack, places, offsets, strict=False)}


def _merged(above: Block, below: Block) -> Block:
    weight = above.weight + below.weight
    place = (above.place * above.weight + below.place * below.weight) / weight
    return Block(place, weight, above.size + below.size)


def _gap(above: Node, below: Node) -> float:
    return (CARD_GAP, LANE_GAP, LANES_GAP)[isinstance(above, Lane) + isinstance(below, Lane)]
