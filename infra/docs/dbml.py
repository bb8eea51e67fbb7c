"""The schema in DBML, which dbdocs and dbdiagram read.

As pydbml writes it, DBML has no check constraints, predicates of indexes and identities, and every reference is
a foreign key: notes say what it cannot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydbml.classes import Column as DbmlColumn
from pydbml.classes import Expression, Project
from pydbml.classes import Index as DbmlIndex
from pydbml.classes import Reference as DbmlReference
from pydbml.classes import Table as DbmlTable
from pydbml.database import Database
from sqlalchemy import Column, Index, MetaData, Table, UniqueConstraint

from infra.docs import facts
from persistence.references import Reference

ABOUT: Final = """The database of the transfer service, written by `make docs` from persistence/tables.py.

A reference with a name is a foreign key; one without is kept by other means, told in the notes of its columns."""

LITERAL: Final = re.compile("'((?:[^']|'')*)'")


def render(metadata: MetaData, unenforced: Iterable[Reference]) -> str:
    """The whole document."""
    links = facts.links(metadata, unenforced)
    database = Database()
    database.add(Project("transactions", items={"database_type": "PostgreSQL"}, note=ABOUT))
    tables = {table.name: _table(table, links) for table in metadata.tables.values()}
    for table in tables.values():
        database.add(table)
    for link in links:
        database.add(_reference(link, tables))
    return f"{database.dbml}\n"


def _table(table: Table, links: Iterable[facts.Link]) -> DbmlTable:
    columns = {column.name: _column(column, links) for column in table.columns}
    return DbmlTable(
        table.name,
        columns=columns.values(),
        indexes=[*_constraint_indexes(table, columns), *(_index(i, columns) for i in facts.indexes(table))],
        note=_table_note(table),
    )


def _table_note(table: Table) -> str | None:
    checks = [f"- {name}: `{condition}`" for name, condition in facts.checks(table)]
    paragraphs = [table.comment, "\n".join(["Checks:", *checks]) if checks else None]
    return "\n\n".join(filter(None, paragraphs)) or None


def _column(column: Column[Any], links: Iterable[facts.Link]) -> DbmlColumn:
    return DbmlColumn(
        column.name,
        facts.type_of(column),
        pk=list(column.table.primary_key) == [column],
        unique=any(names == [column.name] for names in _unique_constraints(column.table)),
        not_null=not column.nullable,
        autoinc=column.identity is not None,
        default=_default(facts.default_of(column)),
        note=_column_note(column, links),
    )


def _column_note(column: Column[Any], links: Iterable[facts.Link]) -> str | None:
    unenforced = [str(link) for link in links if column in link.columns and not link.foreign_key]
    return "\n\n".join(filter(None, [column.comment, facts.identity_of(column), *unenforced])) or None


def _default(expression: str | None) -> str | int | Expression | None:
    if expression is None or expression in ("true", "false"):
        return expression
    if expression.isdigit():
        return int(expression)
    literal = LITERAL.fullmatch(expression)
    return literal[1].replace("''", "'") if literal else Expression(expression)


def _unique_constraints(table: Table) -> list[list[str]]:
    found = [constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint)]
    return sorted([column.name for column in constraint.columns] for constraint in found)


def _constraint_indexes(table: Table, columns: Mapping[str, DbmlColumn]) -> list[DbmlIndex]:
    """Those of constraints over several columns: of one over a single column the column itself tells."""
    key = [columns[column.name] for column in table.primary_key]
    unique = [[columns[name] for name in names] for names in _unique_constraints(table)]
    return [
        *([DbmlIndex([*key], name=facts.constraint_name(table.primary_key), pk=True)] if len(key) > 1 else []),
        *(DbmlIndex([*found], unique=True) for found in unique if len(found) > 1),
    ]


def _index(index: Index, columns: Mapping[str, DbmlColumn]) -> DbmlIndex:
    predicate = facts.predicate(index)
    return DbmlIndex(
        [columns[p.name] if isinstance(p, Column) else Expression(facts.sql(p)) for p in facts.parts(index)],
        name=index.name,
        unique=bool(index.unique),
        type=facts.method(index),
        note=f"where {predicate}" if predicate else None,
    )


def _reference(link: facts.Link, tables: Mapping[str, DbmlTable]) -> DbmlReference:
    return DbmlReference(
        ">",
        [tables[column.table.name][column.name] for column in link.columns],
        [tables[column.table.name][column.name] for column in link.target],
        name=link.foreign_key,
        comment=None if link.foreign_key else link.keeper,
    )
