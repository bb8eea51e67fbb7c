"""Path templates as `google/api/http.proto` has them.

    Template = "/" Segments [ Verb ] ;
    Segments = Segment { "/" Segment } ;
    Segment  = "*" | "**" | LITERAL | Variable ;
    Variable = "{" FieldPath [ "=" Segments ] "}" ;
    FieldPath = IDENT { "." IDENT } ;
    Verb     = ":" LITERAL ;

A literal has the characters of RFC 3986's `pchar` but `:` and `*`, which mean something here; any other is
percent-encoded. Literals are compared decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from transport.gateway import percent


class Wildcard(Enum):
    """Matches one segment, or whatever is left."""

    ONE = "*"
    REST = "**"


Segment = str | Wildcard

_LITERAL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,;=@]|%[0-9A-Fa-f]{2})+")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VERB = re.compile(r":([^:/{}]*)\Z")
_PIECE = re.compile(r"/(\{[^{}]*\}|[^/{}]+)")


@dataclass(frozen=True, slots=True)
class Variable:
    """The field that takes the segments from `start` to before `end`; to the last of the path where it is None."""

    path: str
    start: int
    end: int | None

    def value(self, segments: Sequence[str]) -> str:
        """What it takes of a path's segments, decoded; raises ValueError."""
        if self.end is not None and self.end - self.start == 1:
            return percent.decode(segments[self.start])
        return percent.decode_segments("/".join(segments[self.start : self.end]))


@dataclass(frozen=True, slots=True)
class Template:
    """Literals are decoded."""

    segments: tuple[Segment, ...]
    verb: str | None
    variables: tuple[Variable, ...]


def parse(text: str) -> Template:
    """The template of this text; raises ValueError for what the grammar does not have."""
    verb = _VERB.search(text)
    segments: list[Segment] = []
    variables: list[Variable] = []
    for piece in _pieces(text, verb.start() if verb else len(text)):
        if not piece.startswith("{"):
            segments.append(_segment(piece, text))
            continue
        path, equals, inner = piece[1:-1].partition("=")
        if not all(_IDENTIFIER.fullmatch(name) for name in path.split(".")):
            raise ValueError(f"{text}: {path!r} is not the path of a field")
        start = len(segments)
        segments.extend(_segment(each, text) for each in (inner if equals else "*").split("/"))
        variables.append(Variable(path, start, None if segments[-1] is Wildcard.REST else len(segments)))
    _check(text, segments, variables)
    return Template(tuple(segments), _literal(verb[1], text) if verb else None, tuple(variables))


def _pieces(text: str, end: int) -> Iterator[str]:
    """What stands after each slash; a variable may have slashes itself."""
    position = 0
    while position < end:
        piece = _PIECE.match(text, position, end)
        if piece is None:
            break
        yield piece[1]
        position = piece.end()
    if position == 0 or position != end:
        raise ValueError(f"{text}: must be segments, a slash before each")


def _segment(piece: str, text: str) -> Segment:
    return Wildcard(piece) if piece in ("*", "**") else _literal(piece, text)


def _literal(piece: str, text: str) -> str:
    if not _LITERAL.fullmatch(piece):
        raise ValueError(f"{text}: {piece!r} is neither a literal nor a wildcard")
    try:
        return percent.decode(piece)
    except ValueError as error:
        raise ValueError(f"{text}: {piece!r} {error}") from None


def _check(text: str, segments: Sequence[Segment], variables: Sequence[Variable]) -> None:
    if Wildcard.REST in segments[:-1]:
        raise ValueError(f"{text}: ** must be the last part")
    paths = [variable.path for variable in variables]
    if len(set(paths)) != len(paths):
        raise ValueError(f"{text}: names a field twice")
