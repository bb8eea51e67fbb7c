"""Whatever the schema, cards stand apart, no line runs through one, and the same schema looks the same."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from infra.docs.diagram.cards import card
from infra.docs.diagram.nets import Edge
from infra.docs.diagram.routes import laid_out
from tests.support.boxes import runs_through, touching

COLUMNS_MAX = 4


@st.composite
def schemas(draw):
    """Tables with a few columns each, and references between any of them: circles and to themselves as well."""
    sizes = draw(st.lists(st.integers(1, COLUMNS_MAX), min_size=1, max_size=8))
    cards = [
        card(f"t{n}", "a comment" * (n % 3), {f"c{m}": "int" for m in range(size)})
        for n, size in enumerate(sizes)
    ]
    ports = [(card.name, column) for card in cards for column in card.rows]
    port = st.sampled_from(ports)
    edges = st.builds(Edge, port, port, st.booleans()).filter(lambda edge: edge.source != edge.target)
    return cards, draw(st.lists(edges, max_size=12)) if len(ports) > 1 else []


@given(schemas())
def test_layout_of_any_schema_keeps_cards_apart_and_lines_off_them(schema):
    cards, edges = schema
    layout = laid_out(cards, edges)
    boxes = list(layout.boxes.values())
    assert len(boxes) == len(cards)
    assert not any(touching(one, other) for one, other in combinations(boxes, 2))
    assert not any(runs_through(route.points, box) for route in layout.routes for box in boxes)
    assert all(0 <= x <= layout.width for route in layout.routes for x, _ in route.points)
    assert all(0 <= y <= layout.height for route in layout.routes for _, y in route.points)


@given(schemas())
def test_layout_of_any_schema_is_the_same_every_time(schema):
    assert laid_out(*schema) == laid_out(*schema)
