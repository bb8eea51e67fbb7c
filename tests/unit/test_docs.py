"""`make docs`: what it writes, and that --check writes nothing and fails for what is stale."""

from __future__ import annotations

import pytest

from infra.docs.__main__ import DOCUMENTS, main
from tests.support.service import ROOT


def test_docs_committed_documents_are_fresh(capsys):
    assert main(["--check"], ROOT) == 0
    assert capsys.readouterr().out == ""


def test_docs_writes_what_is_missing_and_then_has_nothing_to_do(tmp_path, capsys):
    assert main([], tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == [f"{name}: written" for name in DOCUMENTS]
    assert main([], tmp_path) == 0
    assert capsys.readouterr().out == ""
    assert main(["--check"], tmp_path) == 0


@pytest.mark.parametrize("name", DOCUMENTS)
def test_docs_check_names_a_stale_document_and_leaves_it(tmp_path, capsys, name):
    main([], tmp_path)
    document = tmp_path / name
    stale = document.read_text().replace("amount", "amuont", 1)
    document.write_text(stale)
    capsys.readouterr()
    assert main(["--check"], tmp_path) == 1
    assert capsys.readouterr().out == f"{name}: is stale, run make docs\n"
    assert document.read_text() == stale


def test_docs_check_fails_for_a_missing_document(tmp_path):
    main([], tmp_path)
    (tmp_path / "docs" / "schema.dbml").unlink()
    assert main(["--check"], tmp_path) == 1
    assert not (tmp_path / "docs" / "schema.dbml").exists()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_docs_are_the_same_every_time(name):
    assert DOCUMENTS[name]() == DOCUMENTS[name]()
