"""Asks a public database whether any pinned dependency has a known vulnerability; part of `make lint`.

Where the database can not be reached a line says so, and nothing fails for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock", "infra/checks/requirements.lock")
TIMEOUT_S = 120
UNREACHABLE = (
    "requests.exceptions.",
    "urllib3.exceptions.",
    "ServiceError",
    "ConnectionError",
    "Could not connect",
)
"""What pip-audit's last words have in them when it is the network, or the database, that has failed."""
NOT_AUDITED = "dependencies were NOT audited: the database of vulnerabilities "


class Verdict(NamedTuple):
    """Exit status 1 where something is vulnerable, or the question itself was wrong."""

    status: int
    text: str


def main() -> int:
    """Ask, and say what came of it in one line at least."""
    names = [part for lock in LOCKS for part in ("-r", str(ROOT / lock))]
    options = ["--no-deps", "--disable-pip", "-s", "osv", "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(  # noqa: S603 - the command is ours
            [sys.executable, "-m", "pip_audit", *names, *options],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"{NOT_AUDITED}does not answer")
        return 0
    verdict = verdict_of(done.returncode, done.stdout, done.stderr)
    print(verdict.text, file=sys.stderr if verdict.status else sys.stdout)
    return verdict.status


def verdict_of(returncode: int, stdout: str, stderr: str) -> Verdict:
    """What pip-audit has found; it prints its document if, and only if, it could ask about everything."""
    try:
        audited: list[dict[str, Any]] = json.loads(stdout)["dependencies"]
    except (ValueError, KeyError):
        if any(word in stderr for word in UNREACHABLE):
            return Verdict(0, f"{NOT_AUDITED}can not be reached")
        return Verdict(1, f"dependencies could not be audited:\n{stdout}{stderr}")
    found = [_told(each, known) for each in audited for known in each.get("vulns", ())]
    if found:
        return Verdict(1, "\n".join(["dependencies with known vulnerabilities:", *found]))
    if returncode != 0:
        return Verdict(1, f"dependencies could not be audited:\n{stderr}")
    return Verdict(0, f"{len(audited)} dependencies were audited: no known vulnerabilities")


def _told(dependency: dict[str, Any], known: dict[str, Any]) -> str:
    mended = ", ".join(known["fix_versions"]) or "no version"
    return f"{dependency['name']} {dependency['version']}: {known['id']}, mended in {mended}"


if __name__ == "__main__":
    sys.exit(main())
