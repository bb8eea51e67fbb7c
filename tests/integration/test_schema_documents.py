"""The generated documents against a migrated database: what they say is what is there."""

from __future__ import annotations

import re

import pytest
from pydbml import PyDBML

from infra.docs import dbml
from persistence.references import UNENFORCED
from persistence.tables import metadata

COLUMNS = """
select table_name::text, attname::text, format_type(atttypid, atttypmod), attnotnull, attidentity <> '',
       atthasdef, coalesce(col_description(attrelid, attnum), '')
from information_schema.tables join pg_attribute on attrelid = table_name::regclass
where table_schema = 'public' and attnum > 0 and not attisdropped and table_name <> 'alembic_version'
"""
INDEXES = """
select relname::text, indisunique, amname::text, coalesce(pg_get_expr(indpred, indrelid), '')
from pg_index join pg_class c on c.oid = indexrelid join pg_am a on a.oid = relam
where indrelid in (select table_name::regclass from information_schema.tables where table_schema = 'public')
  and not exists (select from pg_constraint where conindid = indexrelid and contype in ('p', 'u'))
"""
CONSTRAINTS = """
select conname::text from pg_constraint
where connamespace = 'public'::regnamespace and contype = %s and conrelid <> 'alembic_version'::regclass
"""


@pytest.fixture(scope="module")
def parsed() -> PyDBML:
    return PyDBML(dbml.render(metadata, UNENFORCED))


def test_dbml_has_the_columns_of_the_database(parsed, database):
    def canonical(type_: str) -> str:
        return database.execute("select format_type(%s::regtype, null)", [type_]).fetchone()[0]

    written = {
        (
            table.name,
            column.name,
            canonical(column.type),
            column.not_null,
            column.autoinc,
            column.default is not None,
        )
        for table in parsed.tables
        for column in table.columns
    }
    found = database.execute(COLUMNS).fetchall()
    assert written == {row[:-1] for row in found}
    for table, column, *_, comment in found:
        assert parsed[f"public.{table}"][column].note.text.startswith(comment)


def test_dbml_has_the_indexes_of_the_database(parsed, database):
    def shape(index):
        return (index.name, index.unique, index.type)

    written = {shape(index) for table in parsed.tables for index in table.indexes if not index.pk}
    found = database.execute(INDEXES).fetchall()
    assert written == {row[:3] for row in found}
    notes = {index.name: index.note.text for table in parsed.tables for index in table.indexes}
    assert {name for name, note in notes.items() if note} == {row[0] for row in found if row[3]}


def test_dbml_has_the_foreign_keys_and_checks_of_the_database(parsed, database):
    def constraints(kind):
        return {name for (name,) in database.execute(CONSTRAINTS, [kind])}

    assert {ref.name for ref in parsed.refs if ref.name} == constraints("f")
    notes = "\n".join(table.note.text for table in parsed.tables)
    assert set(re.findall(r"^- (\w+): ", notes, re.MULTILINE)) == constraints("c")


def test_references_without_foreign_key_are_kept_by_triggers_that_exist(database):
    triggers = {name for (name,) in database.execute("select tgname::text from pg_trigger")}
    named = set(re.findall(r"trigger (\w+)", " ".join(reference.kept_by for reference in UNENFORCED)))
    assert named
    assert named <= triggers


def test_references_without_foreign_key_have_none_in_the_database(database):
    referring = {
        (table, column)
        for table, column in database.execute(
            "select conrelid::regclass::text, attname::text from pg_constraint "
            "join pg_attribute on attrelid = conrelid and attnum = any(conkey) where contype = 'f'"
        )
    }
    assert not [r for r in UNENFORCED if (r.columns[0].table.name, r.columns[0].name) in referring]
