"""Where the diagram has the cards and lines of our own schema."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest

from infra.docs import facts
from infra.docs.diagram import card_of, edge_of
from infra.docs.diagram.cards import card
from infra.docs.diagram.lines import joined, path
from infra.docs.diagram.nets import Edge, Net, layered
from infra.docs.diagram.routes import LINE_GAP, Layout, laid_out
from persistence.references import UNENFORCED
from persistence.tables import metadata
from tests.support.boxes import runs_through, touching


@pytest.fixture(scope="module")
def layout() -> Layout:
    links = facts.links(metadata, UNENFORCED)
    return laid_out([card_of(table) for table in metadata.tables.values()], [edge_of(link) for link in links])


def test_layout_boxes_do_not_overlap(layout):
    assert layout.boxes.keys() == metadata.tables.keys()
    assert [
        pair for pair in combinations(layout.boxes, 2) if touching(*(layout.boxes[name] for name in pair))
    ] == []


def test_layout_lines_do_not_run_through_boxes(layout):
    assert [
        (route.edge, name)
        for route in layout.routes
        for name, box in layout.boxes.items()
        if runs_through(route.points, box)
    ] == []


def test_layout_lines_begin_and_end_at_their_rows(layout):
    cards = {table.name: card_of(table) for table in metadata.tables.values()}
    for route in layout.routes:
        for (x, y), (table, column) in (
            (route.points[0], route.edge.source),
            (route.points[-1], route.edge.target),
        ):
            box = layout.boxes[table]
            assert x in (box.x, box.x + box.width)
            assert abs(y - box.y - cards[table].rows[column]) <= 5


def test_layout_lines_of_different_nets_can_be_told_from_each_other(layout):
    taken: dict[tuple[str, int], set[tuple[float, Net]]] = {}
    for route in layout.routes:
        for axis, distance, step in unit_stretches(route.points):
            taken.setdefault((axis, step), set()).add((distance, route.net))
    near = [
        (one, other)
        for beside in taken.values()
        for (one, net), (other, other_net) in combinations(beside, 2)
        if net != other_net and abs(one - other) < LINE_GAP
    ]
    assert near == []


def unit_stretches(points):
    """Every stretch of length 1, as its axis, its distance from that, and where along it begins."""
    for (x, y), (u, v) in pairwise(points):
        if x == u:
            yield from (("x", x, step) for step in range(round(min(y, v)), round(max(y, v))))
        else:
            yield from (("y", y, step) for step in range(round(min(x, u)), round(max(x, u))))


def test_layout_is_roughly_the_shape_of_a_screen(layout):
    assert 1 < layout.width / layout.height < 2


def test_layered_puts_tables_right_of_what_they_refer_to_and_leaves_on_either_side():
    cards = [card(name, "", {"id": "int"}) for name in ("root", "leaf", "branch", "other", "twig")]
    edges = [
        Edge((source, "id"), (target, "id"), enforced=True)
        for source, target in (("leaf", "root"), ("branch", "root"), ("other", "root"), ("twig", "branch"))
    ]
    layers = layered(cards, edges)
    assert layers == {"leaf": 0, "root": 1, "branch": 2, "other": 0, "twig": 3}


def test_layout_orders_cards_so_that_lines_do_not_cross():
    cards = [card(name, "", {"id": "int"}) for name in ("a", "b", "to_b", "to_a", "of_to_b", "of_to_a")]
    pairs = (("to_b", "b"), ("to_a", "a"), ("of_to_b", "to_b"), ("of_to_a", "to_a"))
    boxes = laid_out(
        cards, [Edge((source, "id"), (target, "id"), enforced=True) for source, target in pairs]
    ).boxes
    a_is_above = boxes["a"].y < boxes["b"].y
    assert (boxes["to_a"].y < boxes["to_b"].y) is a_is_above
    assert (boxes["of_to_a"].y < boxes["of_to_b"].y) is a_is_above


def test_joined_lines_draw_no_stretch_twice(layout):
    routes = [route for route in layout.routes if route.net == layout.routes[0].net]
    lines = joined(routes)
    assert len(lines) == len(routes) > 1
    longest, *others = lines
    whole = set(unit_stretches(longest))
    for line in others:
        # A corner may go on for its radius, where it merges.
        assert len(set(unit_stretches(line)) & whole) <= 8


def test_path_has_round_corners():
    assert path([(0, 0), (20, 0), (20, 20)]) == "M0,0L12,0Q20,0 20,8L20,20"
