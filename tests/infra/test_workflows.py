"""`make infra` on the workflows: what is planted in them is found, with its line."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.checks import workflows

ROOT = Path(__file__).resolve().parent.parent.parent
CHECKOUT = re.search(
    r"actions/checkout@\w{40} # v\d+\.\d+\.\d+", (ROOT / workflows.FOLDER / "test.yml").read_text()
)
assert CHECKOUT is not None
Plant = Callable[[str, str, str], list[str]]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """One text of one workflow becomes another in a copy; the answer is what is found."""
    shutil.copytree(ROOT / ".github", tmp_path / ".github")
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(
        ROOT / "infra", tmp_path / "infra", ignore=shutil.ignore_patterns("__pycache__", ".terraform")
    )
    (tmp_path / "infra" / "aws").mkdir(exist_ok=True)

    def planted(name: str, text: str, wrong: str) -> list[str]:
        path = tmp_path / workflows.FOLDER / name
        before = path.read_text()
        assert text in before
        path.write_text(before.replace(text, wrong, 1))
        return workflows.check(tmp_path)

    return planted


def test_workflows_are_clean(plant: Plant) -> None:
    assert plant("test.yml", "name: test", "name: test") == []


@pytest.mark.parametrize(
    ("name", "text", "wrong", "problem"),
    [
        ("test.yml", CHECKOUT[0], "actions/checkout@v7", r"test\.yml:\d+: actions/checkout@v7 is not pinned"),
        ("deploy.yml", CHECKOUT[0], "actions/checkout@main", r"deploy\.yml:\d+: unpinned-uses"),
        ("test.yml", "run: make lint", "run: make lnit", r"test\.yml:\d+: there is no target lnit"),
        ("deploy.yml", "-m infra.rollout", "-m infra.rolout", r"deploy\.yml:\d+: there is no module infra\.rolout"),
        ("deploy.yml", "overlays/aws \\", "overlays/asw \\", r"deploy\.yml:\d+: there is no infra/.*/asw"),
        ("deploy.yml", "workflows/test.yml", "workflows/tests.yml", r"there is no \./\.github/workflows/tests\.yml"),
        ("test.yml", "runs-on: ubuntu-24.04", "run-on: ubuntu-24.04", r"test\.yml: \$\.jobs"),
        ("test.yml", "timeout-minutes: 90", "timeout_minutes: 90", r"test\.yml: \$\.jobs"),
        ("test.yml", "persist-credentials: false", "fetch-depth: 1", r"test\.yml:\d+: artipacked"),
        ("test.yml", "permissions: {}", "permissions: write-all", r"test\.yml:\d+: excessive-permissions"),
        ("deploy.yml", 'aws eks update-kubeconfig --name "$CLUSTER_NAME"',
         "aws eks update-kubeconfig --name ${{ github.ref_name }}", r"deploy\.yml:\d+: template-injection"),
        ("deploy.yml", "cancel-in-progress: false", "cancel-in-progress: perhaps", "cancel-in-progress|concurrency"),
    ],
)  # fmt: skip
def test_workflows_planted_error_is_found(plant: Plant, name: str, text: str, wrong: str, problem: str) -> None:
    problems = plant(name, text, wrong)
    assert any(re.search(problem, each) for each in problems), problems


def test_workflows_without_any_are_a_problem(tmp_path: Path) -> None:
    assert workflows.check(tmp_path) == [".github/workflows: no workflows"]
