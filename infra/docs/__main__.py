"""Writes the documents that are generated: `make docs`. `make lint` runs it with --check."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from infra.docs import dbml, diagram
from persistence.references import UNENFORCED
from persistence.tables import metadata

ROOT: Final = Path(__file__).resolve().parent.parent.parent

DOCUMENTS: Final[Mapping[str, Callable[[], str]]] = {
    "docs/schema.dbml": lambda: dbml.render(metadata, UNENFORCED),
    "transport/docs/schema.svg": lambda: diagram.render(metadata, UNENFORCED),
}
"""Every generated document, by its path, with what makes its text."""


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write what is not as it should be; with --check write nothing, and fail where there is such a document."""
    check = arguments == ["--check"]
    stale = False
    for name, make in DOCUMENTS.items():
        path, text = root / name, make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale = True
        print(f"{name}: {'is stale, run make docs' if check else 'written'}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(check and stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
