"""checkov's policies; an exception stands in the file that it is for, with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.checks.tools import run

OPTIONS = ("--quiet", "--compact", "--skip-download", "--output", "json")
Failed = dict[str, Any]
"""One resource that one policy does not let pass, as checkov has it."""


def broken(framework: str, what: Path, name: str, say: Callable[[Failed], str]) -> list[str]:
    """What a file or folder, which goes by `name`, breaks of a framework's policies; nothing judged is a problem too.

    `say` tells the place of what is broken.
    """
    kind = "--directory" if what.is_dir() else "--file"
    cwd = what if what.is_dir() else what.parent
    done = run(["checkov", "--framework", framework, kind, what, *OPTIONS], cwd=cwd)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return [f"checkov: {done.stderr.strip() or done.stdout.strip()}"]
    if "results" not in report or not report["summary"]["passed"]:
        return [f"{name}: checkov found nothing to judge"]
    return [
        f"{say(each)}: {each['check_id']} {each['check_name']}" for each in report["results"]["failed_checks"]
    ]
