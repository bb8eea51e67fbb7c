"""Debian's packages, unpacked into a folder: a program that this machine lacks, for which no root is needed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from infra.local.process import Check, go_on, run

TIMEOUT_S = 300.0


def unpacked(program: str, packages: Iterable[str], folder: Path, check: Check = go_on) -> Path | None:
    """`folder` with these packages and what they need that is not installed here; None where that fails.

    `program` is what must be in it then, by its path; where it is there already, nothing is done.
    """
    if (folder / program).exists():
        return folder
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        return None
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    named = set(packages)
    try:
        plan = _run(["apt-get", "-s", "--no-install-recommends", "install", *sorted(named)], partial, check)
        missing = {line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")}
        _run(["apt-get", "download", *sorted(missing | named)], partial, check)
        for package in partial.glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(partial)], partial, check)
            package.unlink()
    except (subprocess.SubprocessError, OSError):
        return None
    if not (partial / program).exists():
        return None
    partial.rename(folder)
    return folder


def library_path(folder: Path) -> str:
    """LD_LIBRARY_PATH for what was unpacked there."""
    return ":".join(sorted({str(path.parent) for path in folder.rglob("*.so*")}))


def _run(command: list[str], folder: Path, check: Check) -> str:
    done = run(command, check=check, timeout_s=TIMEOUT_S, folder=folder, environment={"LC_ALL": "C"})
    done.check_returncode()
    return done.stdout
