"""The diagram of the schema: every table a card, every reference a line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Column, Index, MetaData, Table

from infra.docs import facts
from infra.docs.diagram.cards import Card, card
from infra.docs.diagram.drawing import Drawn, Key, Row, drawing
from infra.docs.diagram.nets import Edge
from infra.docs.diagram.routes import laid_out
from persistence.references import Reference

TITLE: Final = "Database schema"


def render(metadata: MetaData, unenforced: Iterable[Reference]) -> str:
    """The whole document, an SVG."""
    links = facts.links(metadata, unenforced)
    drawn = [
        Drawn(card_of(table), _table_tip(table), [_row(column, links) for column in table.columns])
        for table in metadata.tables.values()
    ]
    layout = laid_out([table.card for table in drawn], [edge_of(link) for link in links])
    return drawing(TITLE, _summary(metadata, links), drawn, layout, [str(link) for link in links])


def card_of(table: Table) -> Card:
    """The table as what is placed."""
    return card(table.name, table.comment or "", {column.name: _type(column) for column in table.columns})


def edge_of(link: facts.Link) -> Edge:
    """The reference as one line, between the last of its columns: the others may have lines of their own."""
    source, target = link.columns[-1], link.target[-1]
    return Edge((source.table.name, source.name), (target.table.name, target.name), bool(link.foreign_key))


def _row(column: Column[Any], links: Iterable[facts.Link]) -> Row:
    key = Key.PRIMARY if column.primary_key else Key.UNIQUE if facts.is_unique(column) else None
    return Row(column.name, _type(column), key, _column_tip(column, links))


def _type(column: Column[Any]) -> str:
    return facts.type_of(column) + ("?" if column.nullable else "")


def _column_tip(column: Column[Any], links: Iterable[facts.Link]) -> str:
    own = [str(link) for link in links if column in link.columns]
    definition = f"{column.table.name}.{column.name}: {facts.definition(column)}"
    return "\n".join(filter(None, [definition, column.comment, *own]))


def _table_tip(table: Table) -> str:
    checks = [f"{name}: check ({condition})" for name, condition in facts.checks(table)]
    indexes = [f"{index.name}: {_index(index)}" for index in facts.indexes(table)]
    return "\n".join(filter(None, [table.name, table.comment, *checks, *indexes]))


def _index(index: Index) -> str:
    unique, predicate = "unique " if index.unique else "", facts.predicate(index)
    parts = ", ".join(facts.sql(part) for part in facts.parts(index))
    return f"{unique}{facts.method(index)} ({parts})" + (f" where {predicate}" if predicate else "")


def _summary(metadata: MetaData, links: Iterable[facts.Link]) -> str:
    tables = [f"{table.name}: {table.comment or 'a table'}." for table in metadata.tables.values()]
    references = "; ".join(link.ends for link in links)
    return " ".join([*tables, f"References: {references}."])
