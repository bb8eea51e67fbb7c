"""The house in order: every tool sees all of our code, and README's settings are those that are read."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping

import pytest

from cli.settings import load
from tests.support.service import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py")}
NOT_SHIPPED = {"bench", "tests"}
GENERATED = {"proto"}


def test_every_tool_covers_all_of_our_packages():
    tools = PROJECT["tool"]
    assert len(PACKAGES) == 11
    assert set(tools["mypy"]["packages"]) == PACKAGES - GENERATED - {"tests"}
    assert set(tools["importlinter"]["root_packages"]) == PACKAGES
    assert set(tools["hatch"]["build"]["targets"]["wheel"]["packages"]) == PACKAGES - NOT_SHIPPED
    assert set(tools["ruff"]["extend-exclude"]) == GENERATED
    assert set(tools["ruff"]["lint"]["isort"]["known-first-party"]) >= PACKAGES
    assert tools["mypy"]["strict"]


def test_the_oldest_python_is_the_one_that_is_checked():
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=").partition(",")[0]
    assert PROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    assert f"--python-version {oldest} " in (ROOT / "Makefile").read_text()


class Recording(Mapping[str, str]):
    """An environment that knows what it was asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@pytest.fixture(scope="module")
def documented() -> dict[str, str]:
    """README's environment table: each variable with its default, as it is written there."""
    section = (ROOT / "README.md").read_text().partition("\n## Environment\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    table = {}
    for names, defaults in rows:
        variables = re.findall(r"`(\w+)`", names)
        values = [value.strip() for value in defaults.split(", ")] if len(variables) > 1 else [defaults.strip()]
        table |= dict(zip(variables, values * len(variables) if values == [""] else values, strict=True))
    return table


def test_readme_documents_every_setting_and_no_other(documented, tmp_path):
    environ = Recording({"VAR_DIR": str(tmp_path)})
    load(environ)
    assert set(documented) == environ.asked


def test_readmes_defaults_are_those_of_the_settings(documented, tmp_path):
    in_words = {"TOKEN_SYMMETRIC_KEY", "PUBLIC_URL"}
    spelt_out = {name: value for name, value in documented.items() if value and name not in in_words}
    assert len(spelt_out) > 10
    assert spelt_out["VAR_DIR"] == str(load({"VAR_DIR": "", "TOKEN_SYMMETRIC_KEY": "k" * 32}).var_dir)
    assert load({**spelt_out, "VAR_DIR": str(tmp_path)}) == load({"VAR_DIR": str(tmp_path)})


@pytest.mark.parametrize(
    ("lacking", "advice"),
    [
        ("sys.modules['venv'] = None", "error: this Python has no venv: apt-get install python3."),
        ("sys.modules['ensurepip'] = None", "error: this Python has no venv: apt-get install python3."),
        (
            "sys.version_info = (3, 10, 2)",
            "error: Python 3.11, 3.12 or 3.13 is needed, this is 3.10: make PYTHON=",
        ),
        (
            "sys.version_info = (3, 14, 0)",
            "error: Python 3.11, 3.12 or 3.13 is needed, this is 3.14: make PYTHON=",
        ),
    ],
)
def test_a_python_that_cannot_make_our_environment_is_one_line(lacking, advice):
    script = f"import runpy, sys; {lacking}; runpy.run_path('infra/local/check_python.py')"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(advice)
    assert len(done.stderr.splitlines()) == 1


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    explained = re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)
    assert set(phony) == {*explained, "help", "lock"}
