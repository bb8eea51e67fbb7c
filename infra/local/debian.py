"""Debian's packages, unpacked into a folder: a program that this machine lacks, for which no root is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

TIMEOUT_S = 300.0


def unpacked(program: str, packages: Iterable[str], folder: Path) -> Path | None:
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
        plan = _run(["apt-get", "-s", "--no-install-recommends", "install", *sorted(named)], partial)
        missing = {line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")}
        _run(["apt-get", "download", *sorted(missing | named)], partial)
        for package in partial.glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(partial)], partial)
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


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(  # noqa: S603 - the command is ours
        command,
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, "LC_ALL": "C"},
    )
    return done.stdout
