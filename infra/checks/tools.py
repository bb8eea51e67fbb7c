"""The judges are programs of an environment of their own: `.venv/infra`, made by `make infra` from its lock file."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

ENVIRONMENT = Path(__file__).resolve().parent.parent.parent / ".venv" / "infra" / "bin"
TIMEOUT_S = 240.0


class NotChecked(Exception):
    """No tool of this machine can judge it; the words say which is missing."""


def run(
    command: Sequence[str | Path], *, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What a tool says of the files in `cwd`; a bare name is one of our own environment's.

    Raises `subprocess.TimeoutExpired` after `TIMEOUT_S` seconds.
    """
    tool, *arguments = command
    path = tool if isinstance(tool, Path) else ENVIRONMENT / tool
    return subprocess.run(  # noqa: S603 - the command is ours
        [path, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
