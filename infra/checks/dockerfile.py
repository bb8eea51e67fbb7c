"""A Dockerfile's stages and instructions, and .dockerignore, as far as ours go: no heredocs, no escape characters."""

from __future__ import annotations

import fnmatch
import json
import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its options (`--from=build`) by name, and the text after them."""

    line: int
    word: str
    options: dict[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        """The text's words, or those of its JSON list. Raises ValueError for a list that is none."""
        return [str(word) for word in json.loads(self.text)] if self.is_list else self.text.split()

    @property
    def is_list(self) -> bool:
        """Whether it is in the form that no shell reads."""
        return self.text.startswith("[")


@dataclass(frozen=True, slots=True)
class Stage:
    """What follows a FROM."""

    line: int
    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def of(self, *words: str) -> list[Instruction]:
        """Its instructions of some kinds, in order."""
        return [each for each in self.instructions if each.word in words]

    def last(self, word: str) -> Instruction | None:
        """The one that counts, of a kind of which only the last does."""
        found = self.of(word)
        return found[-1] if found else None


def read(path: Path) -> list[Stage]:
    """All stages; what comes before the first FROM is left out. Raises OSError."""
    stages: list[Stage] = []
    for line, text in _logical_lines(path.read_text()):
        instruction = _instruction(line, text)
        if instruction.word == "FROM":
            base, *rest = instruction.words
            stages.append(Stage(line, base, rest[1] if len(rest) == 2 else ""))
        elif stages:
            stages[-1].instructions.append(instruction)
    return stages


def _logical_lines(text: str) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    started, parts = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        started = started or number
        parts += line.strip().removesuffix("\\")
        if not line.rstrip().endswith("\\"):
            found.append((started, parts))
            started, parts = 0, ""
    return found


def _instruction(line: int, text: str) -> Instruction:
    word, _, rest = text.partition(" ")
    options: dict[str, str] = {}
    while match := re.match(r"\s*--([a-z-]+)=(\S+)\s+", rest):
        options[match[1]] = match[2]
        rest = rest[match.end() :]
    return Instruction(line, word.upper(), options, rest.strip())


class Ignored:
    """What a .dockerignore keeps from the build: of the patterns that fit a path, or a folder it is in, the last."""

    def __init__(self, text: str) -> None:
        self._patterns = [line for line in text.splitlines() if line and not line.startswith("#")]

    def __call__(self, path: str) -> bool:
        """Whether this file or folder, named from the context, is kept from it."""
        ignored = False
        for pattern in self._patterns:
            if self._fits(pattern.removeprefix("!"), path.strip("/").split("/")):
                ignored = not pattern.startswith("!")
        return ignored

    @staticmethod
    def _fits(pattern: str, parts: list[str]) -> bool:
        anywhere = pattern.startswith("**/")
        names = parts if anywhere else ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        return any(_matches(name, pattern.removeprefix("**/")) for name in names)


def _matches(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and fnmatch.fnmatchcase(name, pattern)
