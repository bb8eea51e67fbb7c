"""AWS in Terraform: its format, its references and types, its own tests with a simulated provider, checkov's policies.

Without Terraform or its provider only the policies are judged, and what is left is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.checks import policies
from infra.checks.terraform import Diagnostic, Terraform
from infra.checks.tools import NotChecked

FOLDER = Path("infra") / "aws"
PROVIDER = "registry.terraform.io/hashicorp/aws"


def check(root: Path) -> list[str]:
    """What is wrong with `infra/aws` below `root`. Raises NotChecked where there is no Terraform, and nothing else."""
    folder = root / FOLDER
    problems = policies.broken(
        "terraform",
        folder,
        str(FOLDER),
        lambda each: f"{FOLDER}{each['file_path']}:{each['file_line_range'][0]} {each['resource']}",
    )
    try:
        with TemporaryDirectory(prefix="terraform-") as work:
            return problems + _terraform(Terraform(folder, Path(work), PROVIDER))
    except NotChecked as missing:
        if problems:
            return problems
        raise NotChecked(f"{missing} (checkov finds nothing)") from None


def _terraform(terraform: Terraform) -> list[str]:
    problems = [f"{FOLDER / name}: not as `terraform fmt` writes it" for name in terraform.unformatted()]
    if missing := terraform.init():
        return problems + missing
    # Tests of what is not valid would only repeat it.
    if invalid := terraform.invalid():
        return problems + list(_told(invalid))
    passed, failing = terraform.failing()
    if not passed and not failing:
        return [*problems, f"{FOLDER / 'tests'}: no test was run"]
    return problems + list(_told(failing))


def _told(diagnostics: Iterable[Diagnostic]) -> Iterable[str]:
    for each in diagnostics:
        where = each.get("range", {})
        place = f"{FOLDER / where['filename']}:{where['start']['line']}" if where else str(FOLDER)
        yield f"{place}: {each['summary']}: {' '.join(each['detail'].split())}"
