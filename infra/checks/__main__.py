"""`python -m infra.checks [--root DIR] [NAME ...]`: a line a subject, what is wrong below it; exit status 1 for any."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from infra.checks import aws, compose, image, kubernetes, systemd, workflows
from infra.checks.tools import NotChecked

ROOT = Path(__file__).resolve().parent.parent.parent
CHECKS: dict[str, Callable[[Path], list[str]]] = {
    "systemd": systemd.check,
    "compose": compose.check,
    "image": image.check,
    "workflows": workflows.check,
    "kubernetes": kubernetes.check,
    "aws": aws.check,
}
"""In the order in which they are asked: the quick ones first."""


def main() -> int:
    """Ask every judge, also after one has found something."""
    parser = argparse.ArgumentParser(prog="python -m infra.checks", description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"of {', '.join(CHECKS)} (default: all)")
    parser.add_argument("--root", type=Path, default=ROOT, help="what is judged (default: this checkout)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(CHECKS):
        parser.error(f"no such subject: {', '.join(sorted(unknown))}")
    verdicts = [_judge(name, options.root.resolve()) for name in options.names or CHECKS]
    return 0 if all(verdicts) else 1


def _judge(name: str, root: Path) -> bool:
    started = time.monotonic()
    try:
        problems = CHECKS[name](root)
    except NotChecked as missing:
        print(f"{name:12} *** NOT CHECKED: {missing} ***", flush=True)
        return True
    verdict = f"{len(problems)} problems" if problems else "ok"
    print(f"{name:12} {verdict} ({time.monotonic() - started:.1f} s)", flush=True)
    for problem in problems:
        print(f"  {problem}", file=sys.stderr, flush=True)
    return not problems


if __name__ == "__main__":
    sys.exit(main())
