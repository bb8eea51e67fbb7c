"""The diagram: everything of the tables is in it, and nothing from outside."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from infra.docs import diagram
from infra.docs.diagram.style import COLOURS
from persistence.references import UNENFORCED
from persistence.tables import metadata

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def text() -> str:
    return diagram.render(metadata, UNENFORCED)


@pytest.fixture(scope="module")
def root(text) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314 - our own


def with_class(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if name in element.get("class", "").split()]


def words(element: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in element.iter(f"{SVG}text")]


def test_diagram_has_every_table_and_column_with_its_type(root):
    drawn = {
        table.get("data-table"): [(row.get("data-column"), *words(row)) for row in with_class(table, "row")]
        for table in with_class(root, "table")
    }
    assert drawn.keys() == metadata.tables.keys()
    for table in metadata.tables.values():
        names = [column.name for column in table.columns]
        assert [(row[0], row[1]) for row in drawn[table.name]] == [(name, name) for name in names]
        assert [row[2].endswith("?") for row in drawn[table.name]] == [c.nullable for c in table.columns]
    assert drawn["users"][5] == ("roles", "roles", "text[]")
    assert drawn["sessions"][8] == ("ended_at", "ended_at", "timestamptz?")


def test_diagram_marks_primary_and_unique_keys(root):
    marks = {
        (table.get("data-table"), row.get("data-column"), kind)
        for table in with_class(root, "table")
        for row in with_class(table, "row")
        for kind in ("primary", "unique")
        if with_class(row, kind)
    }
    primary = {(t.name, c.name, "primary") for t in metadata.tables.values() for c in t.primary_key}
    # The settlement accounts' index is partial: it does not make a currency unique.
    assert marks == primary | {("users", "email", "unique"), ("sessions", "refresh_token_hash", "unique")}


def test_diagram_shows_comments_and_tips(root):
    for table in with_class(root, "table"):
        comment = metadata.tables[table.get("data-table")].comment
        assert " ".join(text.text for text in with_class(table, "comment")) == comment
        assert comment in table.find(f"{SVG}g/{SVG}title").text
        for row in with_class(table, "row"):
            column = metadata.tables[table.get("data-table")].columns[row.get("data-column")]
            definition, *others = row.find(f"{SVG}title").text.splitlines()
            assert definition.startswith(f"{column.table.name}.{column.name}: ")
            assert column.comment in (None, *others)


def test_diagram_tips_tell_defaults_and_identities(text):
    assert "accounts.id: bigint not null generated always as identity<" in text
    assert "accounts.kind: text not null default 'customer'\n" in text
    assert "sessions.ended_at: timestamptz\n" in text


def test_diagram_has_a_line_for_every_reference_and_says_what_keeps_it(root):
    drawn = {
        (reference.get("data-from"), reference.get("data-to")): reference.find(f"{SVG}title").text
        for reference in with_class(root, "reference")
    }
    assert len(drawn) == len(UNENFORCED) + sum(
        len(table.foreign_key_constraints) for table in metadata.tables.values()
    )
    assert drawn["accounts.owner", "users.username"].endswith("(foreign key accounts_owner_fkey)")
    assert drawn["transfers.from_seq", "entries.seq"] == (
        "transfers.(from_account_id, from_seq) → entries.(account_id, seq) "
        "(no foreign key; kept by trigger transfers_both_entries)"
    )


def test_diagram_draws_what_no_foreign_key_keeps_in_another_style(root, text):
    lines = [line.get("class") for line in with_class(root, "line")]
    assert {"line", "line unenforced"} == set(lines)
    assert ".schema .unenforced { stroke-dasharray" in text


def test_diagram_has_no_script_and_no_outside_address(root, text):
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "title", "desc", "style", "g", "rect", "path", "circle", "text"}
    names = {name for element in root.iter() for name in element.attrib}
    assert not [name for name in names if name.startswith("on") or "href" in name]
    assert re.findall(r"\w+://[^\"' )]+", text) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in text
    assert "@import" not in text


def test_diagram_scales_and_is_named_for_screen_readers(root):
    assert re.fullmatch(r"0 0 \d+ \d+", root.get("viewBox"))
    assert root.get("width") is root.get("height") is None
    by_id = {element.get("id"): element.text for element in root.iter()}
    title, summary = (by_id[name] for name in root.get("aria-labelledby").split())
    assert title == "Database schema"
    for table in metadata.tables.values():
        assert f"{table.name}: {table.comment}." in summary


def test_diagram_has_colours_for_day_and_night(text):
    day, night = text.split("@media (prefers-color-scheme: dark)")
    for name, what, light, dark in COLOURS:
        assert f".schema .{name} {{ {what}: {light} }}" in day
        assert f".schema .{name} {{ {what}: {dark} }}" in night
