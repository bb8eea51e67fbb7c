"""Asks a public database whether any pinned dependency has a known vulnerability; part of `make lint`.

Where the database can not be reached a line says so, and nothing fails for it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")
TIMEOUT_S = 120


def main() -> int:
    """Exit status 1 names what is vulnerable."""
    names = [part for lock in LOCKS for part in ("-r", str(ROOT / lock))]
    command = [sys.executable, "-m", "pip_audit", *names, "--no-deps", "--disable-pip", "-s", "osv"]
    try:
        done = subprocess.run(  # noqa: S603 - the command is ours
            [*command, "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print("dependencies were not audited: the database of vulnerabilities does not answer")
        return 0
    if done.returncode != 0 and ("ConnectionError" in done.stderr or "ConnectTimeout" in done.stderr):
        print("dependencies were not audited: the database of vulnerabilities can not be reached")
        return 0
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
