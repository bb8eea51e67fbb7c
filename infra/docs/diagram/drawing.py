"""The diagram as SVG: cards, lines and a legend. No script and no outside address; light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from xml.etree import ElementTree

from infra.docs.diagram.cards import LINE_HEIGHT, MARK_WIDTH, NAME_HEIGHT, PADDING, ROW_HEIGHT, Card
from infra.docs.diagram.lines import joined, path
from infra.docs.diagram.nets import Net, Port
from infra.docs.diagram.routes import Box, Layout, Point, Route
from infra.docs.diagram.style import hue, stylesheet

Element = ElementTree.Element

MARGIN: Final = 40
TOP: Final = 84
"""The height of the title and the legend."""
ROUND: Final = 8


class Key(StrEnum):
    """What a column is a key of; also the class of its mark."""

    PRIMARY = "primary"
    UNIQUE = "unique"


@dataclass(frozen=True, slots=True)
class Row:
    """What is written of a column, and what a pointer upon it shows."""

    name: str
    type: str
    key: Key | None
    tip: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A table's card with what is written on it, and what a pointer upon its name shows."""

    card: Card
    tip: str
    rows: Sequence[Row]


def drawing(title: str, summary: str, tables: Sequence[Drawn], layout: Layout, tips: Sequence[str]) -> str:
    """The document; `tips` are said of the layout's routes, in their order."""
    root = _sheet(title, summary, layout.width + 2 * MARGIN, layout.height + TOP + MARGIN)
    _legend(root)
    body = _add(root, "g", {"transform": f"translate({MARGIN} {TOP})"})
    hues = _hues(layout.routes)
    for table in tables:
        _table(body, table, layout.boxes[table.card.name], hue(hues.get(table.card.name)))
    _lines(body, layout.routes, hues)
    for route, tip in zip(layout.routes, tips, strict=True):
        _way(body, route, tip, hues)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _sheet(title: str, summary: str, width: float, height: float) -> Element:
    attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {width:g} {height:g}",
        "class": "schema",
        "role": "img",
        "aria-labelledby": "schema-title schema-summary",
    }
    root = Element("svg", attributes)
    _add(root, "title", {"id": "schema-title"}, title)
    _add(root, "desc", {"id": "schema-summary"}, summary)
    _add(root, "style", {}, stylesheet())
    _add(root, "rect", {"class": "paper", "width": "100%", "height": "100%"})
    _add(root, "text", {"class": "title text", "x": str(MARGIN), "y": "40"}, title)
    return root


def _hues(routes: Iterable[Route]) -> dict[str, int]:
    names = dict.fromkeys(route.edge.target[0] for route in routes)
    return {name: number for number, name in enumerate(names)}


def _add(parent: Element, tag: str, attributes: Mapping[str, str], text: str | None = None) -> Element:
    element = ElementTree.SubElement(parent, tag, dict(attributes))
    element.text = text
    return element


def _table(parent: Element, table: Drawn, box: Box, colour: str) -> None:
    card = table.card
    place = f"translate({box.x:g} {box.y:g})"
    group = _add(parent, "g", {"class": f"table {colour}", "data-table": card.name, "transform": place})
    size = {"width": f"{box.width:g}", "height": f"{box.height:g}", "rx": str(ROUND)}
    _add(group, "rect", {"class": "card", **size})
    header = _add(group, "g", {})
    _add(header, "title", {}, table.tip)
    _add(header, "path", {"class": "header", "d": _rounded_top(box.width, card.header_height)})
    _add(header, "text", {"class": "name text", "x": str(PADDING), "y": str(NAME_HEIGHT - 12)}, card.name)
    for number, line in enumerate(card.comment):
        y = NAME_HEIGHT + LINE_HEIGHT * (number + 0.5)
        _add(header, "text", {"class": "comment muted", "x": str(PADDING), "y": f"{y:g}"}, line)
    for row in table.rows:
        _row(group, row, card, box.width)


def _row(parent: Element, row: Row, card: Card, width: float) -> None:
    middle = card.rows[row.name]
    attributes = {"class": "row", "data-column": row.name, "transform": f"translate(0 {middle:g})"}
    group = _add(parent, "g", attributes)
    _add(group, "title", {}, row.tip)
    size = {"width": f"{width:g}", "height": str(ROW_HEIGHT), "y": str(-ROW_HEIGHT // 2)}
    _add(group, "rect", {"class": "back", **size})
    if row.key:
        _key(group, row.key, PADDING)
    _add(group, "text", {"class": "column text", "x": str(PADDING + MARK_WIDTH), "y": "4"}, row.name)
    _add(group, "text", {"class": "type muted", "x": f"{width - PADDING:g}", "y": "4"}, row.type)


def _key(parent: Element, kind: Key, x: float) -> None:
    """A key: its bow filled for a primary one."""
    group = _add(parent, "g", {"class": "key", "transform": f"translate({x:g} 0)"})
    _add(group, "circle", {"class": kind, "cx": "3.5", "cy": "0", "r": "3"})
    _add(group, "path", {"d": "M6.5,0H13M13,0v3M10,0v2.5"})


def _lines(parent: Element, routes: Iterable[Route], hues: Mapping[str, int]) -> None:
    nets: dict[Net, list[Route]] = {}
    for route in routes:
        nets.setdefault(route.net, []).append(route)
    for net, found in nets.items():
        group = _add(parent, "g", {"class": hue(hues[net.target[0]])})
        kind = "line" if net.enforced else "line unenforced"
        _add(group, "path", {"class": kind, "d": "".join(path(line) for line in joined(found))})
        marks = [_one(found[0].points[-1], net.side), *(_many(route.points) for route in found)]
        _add(group, "path", {"class": "mark", "d": "".join(dict.fromkeys(marks))})


def _one(end: Point, side: int) -> str:
    """The bar at the row that is referred to."""
    return f"M{end[0] + 8 * side:g},{end[1] - 4:g}v8"


def _many(points: Sequence[Point]) -> str:
    """The crow's foot at the row that refers."""
    (x, y), (after, _) = points[:2]
    reach = 10 if after > x else -10
    return f"M{x:g},{y - 5:g}L{x + reach:g},{y:g}L{x:g},{y + 5:g}"


def _way(parent: Element, route: Route, tip: str, hues: Mapping[str, int]) -> None:
    """The whole line once more, unseen, to point at."""
    edge = route.edge
    attributes = {"data-from": _dotted(edge.source), "data-to": _dotted(edge.target)}
    group = _add(parent, "g", {"class": f"reference {hue(hues[edge.target[0]])}", **attributes})
    _add(group, "title", {}, tip)
    _add(group, "path", {"class": "way", "d": path(route.points)})


def _dotted(port: Port) -> str:
    return ".".join(port)


def _rounded_top(width: float, height: float) -> str:
    corner = f"a{ROUND},{ROUND} 0 0 1 {ROUND}"
    return f"M0,{height:g}V{ROUND}{corner},-{ROUND}H{width - ROUND:g}{corner},{ROUND}V{height:g}Z"


def _legend(parent: Element) -> None:
    group = _add(parent, "g", {"class": "legend", "transform": f"translate({MARGIN} 60)"})
    x = 0
    for key, words in ((Key.PRIMARY, "primary key"), (Key.UNIQUE, "unique")):
        _key(group, key, x)
        x = _words(group, x + 22, words)
    _add(group, "text", {"class": "column muted", "x": str(x), "y": "4"}, "?")
    x = _words(group, x + 14, "may be null")
    for kind, words in (("line", "foreign key"), ("line unenforced", "reference kept by other means")):
        sample = _add(group, "g", {"class": "plain"})
        _add(sample, "path", {"class": kind, "d": f"M{x},0h44"})
        _add(sample, "path", {"class": "mark", "d": _many([(x, 0), (x + 44, 0)]) + _one((x + 44, 0), -1)})
        x = _words(group, x + 54, words)


def _words(parent: Element, x: int, words: str) -> int:
    _add(parent, "text", {"class": "muted", "x": str(x), "y": "4"}, words)
    return x + 7 * len(words) + 24
