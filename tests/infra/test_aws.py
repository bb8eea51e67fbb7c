"""`make infra` on AWS: what is planted is found and named, and what can not be judged here is said.

On a machine without Terraform the tests that need it assert just that.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.checks import aws
from infra.checks.terraform import environment
from infra.checks.tools import NotChecked

ROOT = Path(__file__).resolve().parent.parent.parent
Plant = Callable[[str, str, str], None]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """In a copy of infra/aws, under `tmp_path`: one text of one file becomes another."""
    shutil.copytree(ROOT / aws.FOLDER, tmp_path / aws.FOLDER, ignore=shutil.ignore_patterns(".terraform"))

    def planted(name: str, text: str, wrong: str) -> None:
        path = tmp_path / aws.FOLDER / name
        before = path.read_text()
        assert text in before
        path.write_text(before.replace(text, wrong, 1))

    return planted


@pytest.fixture
def without_terraform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")


@contextmanager
def or_said_that_it_is_missing() -> Iterator[None]:
    try:
        yield
    except NotChecked as missing:
        assert "no terraform on PATH" in str(missing) or "no mirror of" in str(missing)  # noqa: PT017 - either is right


def test_aws_dangling_reference_is_named_with_its_line(plant: Plant, tmp_path: Path) -> None:
    plant("cache.tf", "vpc_id      = aws_vpc.main.id", "vpc_id      = aws_vpc.mian.id")
    with or_said_that_it_is_missing():
        problems = aws.check(tmp_path)
        assert len(problems) == 1, problems
        assert problems[0].startswith("infra/aws/cache.tf:12: Reference to undeclared resource")
        assert '"aws_vpc" "mian"' in problems[0]


def test_aws_what_the_policies_do_not_know_is_found_by_terraform_test(plant: Plant, tmp_path: Path) -> None:
    (tmp_path / aws.FOLDER / "tests" / "variables.tftest.hcl").unlink()
    plant("identity.tf", ":environment:${name}", ":*")
    plant("network.tf", "  tags   = { Name =", "  tags = { Name =")
    with or_said_that_it_is_missing():
        problems = aws.check(tmp_path)
        assert any(
            "GitHub's trust is not this repository in this environment alone" in line for line in problems
        )
        assert "infra/aws/network.tf: not as `terraform fmt` writes it" in problems


@pytest.mark.usefixtures("without_terraform")
def test_aws_policies_are_judged_without_terraform(plant: Plant, tmp_path: Path) -> None:
    plant("database.tf", "storage_encrypted     = true", "storage_encrypted     = false")
    problems = aws.check(tmp_path)
    assert len(problems) == 1, problems
    assert problems[0].startswith("infra/aws/database.tf:")
    assert "CKV_AWS_16" in problems[0]


@pytest.mark.usefixtures("without_terraform")
def test_aws_missing_terraform_is_said() -> None:
    with pytest.raises(NotChecked, match=r"no terraform on PATH \(checkov finds nothing\)"):
        aws.check(ROOT)


def test_aws_terraform_is_not_told_of_a_configuration_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(tmp_path / "none"))
    assert "TF_CLI_CONFIG_FILE" not in environment(tmp_path)
    (tmp_path / "there").touch()
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(tmp_path / "there"))
    assert environment(tmp_path)["TF_CLI_CONFIG_FILE"] == str(tmp_path / "there")
