"""`terraform -chdir=infra/aws output -json | python3 -m infra.variables`: what was made in AWS, for the overlays.

Each variable takes the value of the output of its name in lower case, IMAGE the repository; others stay as they are.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

FILE = Path(__file__).parent / "kubernetes" / "components" / "variables" / "variables.env"
LINE = re.compile(r"^([A-Z_]+)=(.*)$", re.MULTILINE)
REPOSITORY = re.compile(r"^[^:@]*")


def filled(text: str, outputs: Mapping[str, str]) -> str:
    """The file with these outputs."""

    def line(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        if name == "IMAGE":
            repository = outputs.get("ecr_repository_url")
            return f"IMAGE={REPOSITORY.sub(lambda _: repository, value, count=1)}" if repository else match[0]
        return f"{name}={outputs.get(name.lower(), value)}"

    return LINE.sub(line, text)


def main() -> int:
    """Exit status 0; what is not Terraform's JSON is an error of Python's."""
    outputs = {name: str(output["value"]) for name, output in json.load(sys.stdin).items()}
    FILE.write_text(filled(FILE.read_text(), outputs))
    print(FILE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
