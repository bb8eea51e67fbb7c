"""What the documents say of tables and columns: in PostgreSQL's words, and the same in each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    DefaultClause,
    Index,
    MetaData,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.schema import Constraint
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ClauseElement

from persistence.references import Reference

DIALECT: Final = PGDialect()
Method = Literal["btree", "brin", "gin", "gist", "hash", "spgist"]
SHORT_TYPES: Final = {"timestamp with time zone": "timestamptz"}
"""PostgreSQL's own shorter names, which fit into a card of the diagram."""


@dataclass(frozen=True, slots=True)
class Link:
    """A reference from one table to another, with the foreign key that keeps it or what else does."""

    columns: tuple[Column[Any], ...]
    target: tuple[Column[Any], ...]
    foreign_key: str | None
    kept_by: str | None

    @property
    def ends(self) -> str:
        """Which columns refer to which."""
        return f"{_dotted(self.columns)} → {_dotted(self.target)}"

    @property
    def keeper(self) -> str:
        """What sees to it that the reference holds."""
        return (
            f"foreign key {self.foreign_key}" if self.foreign_key else f"no foreign key; kept by {self.kept_by}"
        )

    def __str__(self) -> str:
        return f"{self.ends} ({self.keeper})"


def links(metadata: MetaData, unenforced: Iterable[Reference]) -> list[Link]:
    """Every reference: the foreign keys in the order of their tables, then those that are kept without."""
    keys = [
        key
        for table in metadata.tables.values()
        for key in sorted(table.foreign_key_constraints, key=constraint_name)
    ]
    return [
        *(Link(tuple(k.columns), tuple(e.column for e in k.elements), constraint_name(k), None) for k in keys),
        *(Link(r.columns, r.target, None, r.kept_by) for r in unenforced),
    ]


def sql(clause: ClauseElement) -> str:
    """An expression as DDL has it."""
    return str(clause.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True, "include_table": False}))


def type_of(column: Column[Any]) -> str:
    """The column's type."""
    name = column.type.compile(dialect=DIALECT).lower()
    return SHORT_TYPES.get(name, name)


def default_of(column: Column[Any]) -> str | None:
    """The expression of the column's default."""
    if not isinstance(column.server_default, DefaultClause):
        return None
    default = column.server_default.arg
    return default if isinstance(default, str) else sql(default)


def identity_of(column: Column[Any]) -> str | None:
    """How the column's values are generated, where PostgreSQL does that."""
    if column.identity is None:
        return None
    return f"generated {'always' if column.identity.always else 'by default'} as identity"


def definition(column: Column[Any]) -> str:
    """What stands behind the column's name in DDL, constraints left out."""
    default = default_of(column)
    words = (
        type_of(column),
        None if column.nullable else "not null",
        None if default is None else f"default {default}",
        identity_of(column),
    )
    return " ".join(filter(None, words))


def is_unique(column: Column[Any]) -> bool:
    """Whether no two rows have the same value here, or, if an expression is indexed, the same value of that."""
    unique = [tuple(c.columns) for c in column.table.constraints if isinstance(c, UniqueConstraint)]
    for index in column.table.indexes:
        if index.unique and predicate(index) is None:
            inner = [element for part in parts(index) for element in visitors.iterate(part)]
            unique.append(tuple(element for element in inner if isinstance(element, Column)))
    return (column,) in unique


def constraint_name(constraint: Constraint) -> str:
    """The name that the database knows it by."""
    return str(DIALECT.identifier_preparer.format_constraint(constraint))


def checks(table: Table) -> list[tuple[str, str]]:
    """Name and condition of every check constraint."""
    found = [constraint for constraint in table.constraints if isinstance(constraint, CheckConstraint)]
    return sorted((constraint_name(check), sql(check.sqltext)) for check in found)


def indexes(table: Table) -> list[Index]:
    """Indexes, by name; those of the primary key and of unique constraints are not among them."""
    return sorted(table.indexes, key=lambda index: str(index.name))


def parts(index: Index) -> list[ColumnElement[Any]]:
    """The columns and expressions that are indexed."""
    return [part for part in index.expressions if not isinstance(part, str)]


def method(index: Index) -> Method:
    """How they are indexed."""
    named: Method | Literal[False] = index.dialect_options["postgresql"]["using"]
    return named or "btree"


def predicate(index: Index) -> str | None:
    """Which rows are indexed; None: all."""
    where: ColumnElement[Any] | None = index.dialect_options["postgresql"]["where"]
    return None if where is None else sql(where)


def _dotted(columns: tuple[Column[Any], ...]) -> str:
    names = ", ".join(column.name for column in columns)
    return f"{columns[0].table.name}.{names if len(columns) == 1 else f'({names})'}"
