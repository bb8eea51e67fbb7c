"""The supervision tree is the one that ARCHITECTURE.md draws."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from actors.supervisor import ChildSpec, ChildStatistics
from cli.drain import DrainTimes
from cli.settings import load
from cli.tree import actors_of, root_of
from persistence.pool import open_pool

ARCHITECTURE = Path(__file__).resolve().parents[2] / "ARCHITECTURE.md"


def lines(node: ChildStatistics, depth: int = 0) -> Iterator[tuple[int, str]]:
    yield depth, node.name
    for child in node.children:
        yield from lines(child, depth + 1)


def drawn(text: str) -> Iterator[tuple[int, str]]:
    (drawing,) = re.findall(r"^```\n(service .*?)^```$", text, re.MULTILINE | re.DOTALL)
    for line in drawing.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = re.split(r" {2,}", line.strip())[0]
        if several := re.fullmatch(r"(\w+) (\d)\.\.(\d)", name):
            yield from ((depth, f"{several[1]} {n}") for n in range(int(several[2]), int(several[3]) + 1))
        else:
            yield from ((depth, each) for each in name.split(", "))


async def test_the_tree_is_the_one_that_is_drawn(tmp_path):
    async def serve(**_: Any) -> None:
        raise AssertionError("nothing is started here")

    settings = load({"VAR_DIR": str(tmp_path / "var")})
    servers = [ChildSpec(name, serve) for name in ("grpc", "http")]
    async with open_pool("postgresql:///nobody_connects") as pool:
        actors = actors_of(settings, pool, cast(Any, "a Redis that nobody asks"))
        root = root_of(actors, servers, DrainTimes.within(settings.shutdown_grace_s))
        assert list(lines(root.statistics())) == list(drawn(ARCHITECTURE.read_text()))
