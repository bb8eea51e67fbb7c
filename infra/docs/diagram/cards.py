"""Tables as cards: how large each one is, and at what height its rows are. Lengths are in the SVG's own units."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

ROW_HEIGHT: Final = 24
NAME_HEIGHT: Final = 34
LINE_HEIGHT: Final = 16
"""Of a line of the table's comment."""
PADDING: Final = 12
MARK_WIDTH: Final = 20
"""What a column's key mark takes before its name."""
TYPE_GAP: Final = 24
ROW_CHARACTER: Final = 7.3
"""Width in a row: 0.6 of 12 in the usual monospaced fonts, and a little to spare."""
PROSE_CHARACTER: Final = 6.2
"""Mean width in a comment, with something to spare."""
NAME_CHARACTER: Final = 9
"""Mean width in a table's name."""
WIDTH_MIN: Final = 216


@dataclass(frozen=True, slots=True)
class Card:
    """A table's size, and the middle of every column's row, measured from the top."""

    name: str
    width: float
    height: float
    comment: tuple[str, ...]
    rows: Mapping[str, float]

    @property
    def header_height(self) -> float:
        """The height of the name and the comment above the rows."""
        return NAME_HEIGHT + (len(self.comment) * LINE_HEIGHT + PADDING / 2 if self.comment else 0)


def card(name: str, comment: str, types: Mapping[str, str]) -> Card:
    """The card of a table with this comment, and columns of these types."""
    characters = max(len(column) + len(type_) for column, type_ in types.items())
    rows_width = MARK_WIDTH + TYPE_GAP + round(characters * ROW_CHARACTER)
    width = max(WIDTH_MIN, 2 * PADDING + max(rows_width, len(name) * NAME_CHARACTER))
    lines = tuple(textwrap.wrap(comment, int((width - 2 * PADDING) / PROSE_CHARACTER)))
    top = Card(name, width, 0, lines, {}).header_height + PADDING / 2
    rows = {column: top + ROW_HEIGHT * (number + 0.5) for number, column in enumerate(types)}
    return Card(name, width, top + ROW_HEIGHT * len(types) + PADDING / 2, lines, rows)
