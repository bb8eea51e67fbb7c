"""docs/schema.dbml, read back by a parser, says what the tables say."""

from __future__ import annotations

import pytest
from pydbml import PyDBML
from pydbml.classes import Expression
from sqlalchemy import CheckConstraint, Column, Identity, MetaData, Table, Text, UniqueConstraint

from infra.docs import dbml
from persistence.references import UNENFORCED
from persistence.tables import metadata


@pytest.fixture(scope="module")
def parsed() -> PyDBML:
    return PyDBML(dbml.render(metadata, UNENFORCED))


def test_dbml_has_every_table_with_its_columns(parsed):
    assert {table.name: [column.name for column in table.columns] for table in parsed.tables} == {
        table.name: [column.name for column in table.columns] for table in metadata.tables.values()
    }


def test_dbml_has_the_comments_as_notes(parsed):
    for table in metadata.tables.values():
        assert parsed[f"public.{table.name}"].note.text.split("\n\n")[0] == table.comment
        for column in table.columns:
            note = parsed[f"public.{table.name}"][column.name].note.text
            assert note.startswith(column.comment or ""), column


def test_dbml_has_keys_and_nulls(parsed):
    for table in metadata.tables.values():
        read = parsed[f"public.{table.name}"]
        keys = [[column.name] for column in read.columns if column.pk]
        keys += [[column.name for column in index.subjects] for index in read.indexes if index.pk]
        assert keys == [[column.name for column in table.primary_key]]
        for column in table.columns:
            assert read[column.name].not_null is not column.nullable, column
    assert [column.name for column in parsed["public.sessions"].columns if column.unique] == [
        "refresh_token_hash"
    ]


@pytest.mark.parametrize(
    ("table", "column", "default"),
    [
        ("users", "full_name", None),
        ("users", "is_email_verified", False),
        ("users", "roles", "{depositor}"),
        ("users", "created_at", Expression("now()")),
        ("accounts", "name", ""),
        ("accounts", "kind", "customer"),
        ("accounts", "balance", 0),
    ],
)
def test_dbml_has_the_defaults(parsed, table, column, default):
    read = parsed[f"public.{table}"][column].default
    assert (type(read), str(read)) == (type(default), str(default))


def test_dbml_has_every_reference_and_names_the_foreign_keys(parsed):
    def ends(columns):
        return (columns[0].table.name, *(column.name for column in columns))

    read = {(ends(ref.col1), ends(ref.col2), ref.name is not None) for ref in parsed.refs}
    keys = [key for table in metadata.tables.values() for key in table.foreign_key_constraints]
    foreign = {(ends(list(key.columns)), ends([e.column for e in key.elements]), True) for key in keys}
    other = {(ends(reference.columns), ends(reference.target), False) for reference in UNENFORCED}
    assert foreign
    assert other
    assert read == foreign | other
    assert all(ref.type == ">" for ref in parsed.refs)


def test_dbml_says_in_notes_what_keeps_a_reference_without_foreign_key(parsed):
    note = parsed["public.entries"]["transfer_id"].note.text
    assert note == "entries.transfer_id → transfers.id (no foreign key; kept by trigger entries_history)"


def test_dbml_has_partial_expression_and_brin_indexes(parsed):
    def index(table, name):
        (found,) = [index for index in parsed[f"public.{table}"].indexes if index.name == name]
        return found.subject_names, found.unique, found.type, found.note.text

    assert index("users", "users_email_key") == (["lower(email)"], True, "btree", "")
    assert index("outbox", "outbox_waiting_idx") == (["id"], False, "btree", "where relayed_at IS NULL")
    assert index("idempotency_records", "idempotency_records_created_at_idx")[2] == "brin"
    assert index("security_events", "security_events_username_idx")[0] == ["username", "id"]


def test_dbml_has_the_checks_in_the_notes_of_their_tables(parsed):
    assert parsed["public.transfers"].note.text.split("\n\n")[1].splitlines() == [
        "Checks:",
        "- transfers_amount_check: `amount > 0`",
        "- transfers_seq_check: `from_seq > 0 and to_seq > 0`",
        "- transfers_sides_check: `from_account_id <> to_account_id`",
        "- transfers_status_check: `status = 'posted'`",
    ]


def test_dbml_can_say_what_our_tables_do_not_have_yet():
    table = Table(
        "t",
        MetaData(),
        Column("id", Text, Identity(always=True), primary_key=True),
        Column("a", Text, comment='It\'s "quoted"'),
        Column("b", Text),
        UniqueConstraint("a", "b", name="t_ab"),
        CheckConstraint("a <> ''", name="t_a"),
    )
    (read,) = PyDBML(dbml.render(table.metadata, [])).tables
    assert read["a"].note.text == 'It\'s "quoted"'
    assert read["id"].note.text == "generated always as identity"
    assert [index.subject_names for index in read.indexes if index.unique] == [["a", "b"]]
    assert read.note.text == "Checks:\n- t_a: `a <> ''`"
