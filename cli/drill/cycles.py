"""Whether things that precede each other, and in real time, can be put in one order.

The graph has an edge for every precedence that is known. That what ended before something began precedes it would be
an edge for every such pair; instead there is a chain of moments, one for each end, which things join when they end
and leave when they begin. Its edges point forward in time, so it makes no cycle of its own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from math import inf
from typing import NamedTuple


class _Moment(NamedTuple):
    number: int


def cycle(
    precedences: Iterable[tuple[Hashable, Hashable]], intervals: Iterable[tuple[Hashable, float, float]]
) -> list[Hashable] | None:
    """Things of which each precedes the next and the last the first, or None.

    Intervals say what, when it began, and when it ended: infinity for what is not known to have ended.
    """
    graph: TopologicalSorter[Hashable] = TopologicalSorter()
    for first, second in precedences:
        graph.add(second, first)
    ended = sorted((each for each in intervals if each[2] != inf), key=lambda each: each[2])
    ends = [end for _, _, end in ended]
    moments = [_Moment(number) for number in range(len(ended))]
    for first, second in pairwise(moments):
        graph.add(second, first)
    for moment, (what, began, _) in zip(moments, ended, strict=True):
        graph.add(moment, what)
        before = bisect_left(ends, began)
        if before:
            graph.add(what, moments[before - 1])
    try:
        graph.prepare()
    except CycleError as error:
        found: list[Hashable] = error.args[1][:-1]
        return [each for each in found if not isinstance(each, _Moment)]
    return None
