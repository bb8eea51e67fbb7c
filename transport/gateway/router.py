"""Which route a request takes: a tree of segments, searched from the most specific to the least.

A literal goes before `*`, and `*` before `**`, at the first segment in which two templates differ. No node of the tree
is looked at twice for one path.

A colon in the last segment begins a verb, where any route has that verb at that place; else it is part of the
segment, as if it had been percent-encoded: `/v2/users/a:b` is the user `a:b`, but `GET /v2/accounts/1:deposit`
is no account. An empty segment matches nothing but `**`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import unquote

from transport.gateway.templates import Segment, Template, Wildcard

Target = TypeVar("Target")
ANY = "*"
"""Stands for every HTTP method that has no route of its own."""


class Match(NamedTuple, Generic[Target]):
    """A route, and the path's segments, still encoded."""

    template: Template
    target: Target
    segments: list[str]


@dataclass(frozen=True, slots=True)
class _Route(Generic[Target]):
    template: Template
    target: Target


class _Node(Generic[Target]):
    __slots__ = ("by_verb", "children")

    def __init__(self) -> None:
        self.children: dict[Segment, _Node[Target]] = {}
        self.by_verb: dict[str | None, dict[str, _Route[Target]]] = {}


class Router(Generic[Target]):
    """Routes by HTTP method and template."""

    def __init__(self) -> None:
        self._root: _Node[Target] = _Node()

    def add(self, method: str, template: Template, target: Target) -> None:
        """Add a route; raises ValueError where another has the same method and matches the same paths."""
        node = self._root
        for segment in template.segments:
            node = node.children.setdefault(segment, _Node())
        routes = node.by_verb.setdefault(template.verb, {})
        if method in routes:
            raise ValueError(f"two routes are {method} of the same path")
        routes[method] = _Route(template, target)

    def find(self, method: str, path: str) -> Match[Target] | frozenset[str]:
        """The route of a request, or the methods that its path has: none where there is no such path."""
        segments = path[1:].split("/")
        allowed: set[str] = set()
        for verb, cut in _readings(segments):
            for routes in _matching(self._root, [unquote(segment) for segment in cut], verb):
                route = routes.get(method) or routes.get(ANY)
                if route is not None:
                    return Match(route.template, route.target, cut)
                allowed |= routes.keys()
            if allowed:
                break
        return frozenset(allowed)


def _readings(segments: list[str]) -> Iterator[tuple[str | None, list[str]]]:
    """The path with a verb, where it may have one, and without."""
    last, colon, verb = segments[-1].rpartition(":")
    if colon:
        yield unquote(verb), [*segments[:-1], last]
    yield None, segments


def _matching(
    root: _Node[Target], segments: Sequence[str], verb: str | None
) -> Iterator[dict[str, _Route[Target]]]:
    """The routes of every template that matches, the most specific first."""
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth == len(segments) and verb in node.by_verb:
            yield node.by_verb[verb]
        # The last that is put there is looked at first.
        if Wildcard.REST in node.children:
            waiting.append((node.children[Wildcard.REST], len(segments)))
        if depth < len(segments) and segments[depth]:
            children = (node.children.get(each) for each in (Wildcard.ONE, segments[depth]))
            waiting.extend((child, depth + 1) for child in children if child is not None)
