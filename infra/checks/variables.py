"""The service's environment variables, read off `cli/settings.py` without running it; and times."""

from __future__ import annotations

import re
from pathlib import Path

_READ = re.compile(r'read(?:\.optional)?\(\s*"([A-Z_]+)"(?:,\s*"([^"]*)")?')
_TIME = re.compile(r"(?:([0-9]+)m)?(?:([0-9]+)s?)?")
OF_PYTHON = re.compile("PYTHON[A-Z]+")


def known(root: Path) -> dict[str, str]:
    """Every variable that the service reads, with its default; empty where it has none. Raises OSError."""
    return dict(_READ.findall((root / "cli/settings.py").read_text()))


def strange(root: Path, names: set[str]) -> list[str]:
    """Those of these names that neither the service nor Python reads."""
    found = known(root)
    return sorted(name for name in names if name not in found and not OF_PYTHON.fullmatch(name))


def seconds(text: str) -> float:
    """Of `25s`, `1m30s` or `30`; 0 for what is no time."""
    match = _TIME.fullmatch(text.strip())
    return 60 * int(match[1] or 0) + int(match[2] or 0) if match else 0
