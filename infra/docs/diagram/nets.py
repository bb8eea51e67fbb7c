"""Layers of tables from left to right, and the nets of references that run between them.

The layering is that of Sugiyama, Tagawa and Toda (1981): a table stands to the right of what it refers to, and
a line that passes a layer gets a lane of its own there, which is placed like a table and keeps its way free.
References to one row share a line: they are one net.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from infra.docs.diagram.cards import Card

Port = tuple[str, str]
"""A table and one of its columns."""


class Edge(NamedTuple):
    """A reference from one row to another; `enforced` when a foreign key keeps it."""

    source: Port
    target: Port
    enforced: bool


class Net(NamedTuple):
    """References of one kind to one row, from its left (`side` -1) or its right (1)."""

    target: Port
    enforced: bool
    side: int


class Lane(NamedTuple):
    """Where a net passes a layer."""

    net: Net
    layer: int


class Dock(NamedTuple):
    """Where a net meets a card: at the left or the right of a row."""

    port: Port
    side: int


class Course(NamedTuple):
    """What a reference passes on the way from its own row to that of its target.

    Gutters, the spaces between layers, have the numbers of the layers at their left; `gutter` is the first.
    """

    edge: Edge
    net: Net
    start: Dock
    end: Dock
    lanes: tuple[Lane, ...]
    gutter: int


def layered(cards: Sequence[Card], edges: Sequence[Edge]) -> dict[str, int]:
    """The layer of every table, 0 at the left; `cards` in the order in which the tables are declared.

    References to later tables do not count, or circles would have no layers. Tables that refer only to roots, and
    that nothing refers to, may stand on either side of these: they go to where there is more room.
    """
    layers: dict[str, int] = {}
    for card in cards:
        earlier = [layers[edge.target[0]] for edge in _of(card.name, edges) if edge.target[0] in layers]
        layers[card.name] = 1 + max(earlier, default=-1)
    leaves = [card for card in cards if _is_leaf(card.name, edges, layers)]
    heights = {-1: 0.0, 1: sum(card.height for card in cards if layers[card.name] == 1 and card not in leaves)}
    for card in leaves:
        side = min(heights, key=lambda layer: heights[layer])
        layers[card.name] = side
        heights[side] += card.height
    leftmost = min(layers.values(), default=0)
    return {name: layer - leftmost for name, layer in layers.items()}


def _of(name: str, edges: Iterable[Edge]) -> list[Edge]:
    return [edge for edge in edges if edge.source[0] == name]


def _is_leaf(name: str, edges: Sequence[Edge], layers: Mapping[str, int]) -> bool:
    own = _of(name, edges)
    is_referred = any(edge.target[0] == name for edge in edges)
    return bool(own) and not is_referred and all(layers[edge.target[0]] == 0 for edge in own)


def courses(edges: Iterable[Edge], layers: Mapping[str, int]) -> list[Course]:
    """The courses of all references, in their order."""
    return [_course(edge, layers[edge.source[0]], layers[edge.target[0]]) for edge in edges]


def _course(edge: Edge, source: int, target: int) -> Course:
    side = -1 if source < target else 1
    # Towards its target; where that is in the same layer both are left and met at their right.
    leaving = side if source == target else -side
    net = Net(edge.target, edge.enforced, side)
    return Course(
        edge,
        net,
        start=Dock(edge.source, leaving),
        end=Dock(edge.target, side),
        lanes=tuple(Lane(net, layer) for layer in range(source - side, target, -side)),
        gutter=source if leaving == 1 else source - 1,
    )
