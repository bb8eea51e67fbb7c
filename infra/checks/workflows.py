"""GitHub's workflows: zizmor's audits, GitHub's own schema, and whether what they call is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from infra.checks.tools import run

FOLDER = Path(".github/workflows")
ZIZMOR = (
    "zizmor",
    "--offline",
    "--no-progress",
    "-q",
    "--persona",
    "pedantic",
    "--no-exit-codes",
    "--format",
    "json-v1",
)
SCHEMA = ("check-jsonschema", "-o", "json", "--builtin-schema", "vendor.github-workflows")
USES = re.compile(r"^\s*(?:- )?uses:\s*(\S+)")
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
MAKE = re.compile(r"\bmake((?: +[A-Za-z0-9_./=-]+)+)")
TARGET = re.compile(r"^([A-Za-z0-9_./-]+)\s*:(?!=)", re.MULTILINE)
MODULE = re.compile(r"\bpython3? -m ([a-z_.]+)")
FILE = re.compile(r"(?<![\w/.-])((?:infra|tests|docs)/[\w./-]+)")


def check(root: Path) -> list[str]:
    """What is wrong in `.github/workflows`, a line each with file and line."""
    files = sorted((root / FOLDER).glob("*.y*ml"))
    if not files:
        return [f"{FOLDER}: no workflows"]
    problems = [*_audits(root, files), *_schema(files)]
    targets = _targets((root / "Makefile").read_text())
    for file in files:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            code = "" if line.lstrip().startswith("#") else line
            problems += [f"{FOLDER / file.name}:{number}: {what}" for what in _calls(code, root, targets)]
    return problems


def _audits(root: Path, files: list[Path]) -> Iterator[str]:
    done = run([*ZIZMOR, *files], cwd=root)
    try:
        findings = json.loads(done.stdout)
    except json.JSONDecodeError:
        yield f"{FOLDER}: zizmor can not read it: {done.stderr.strip()}"
        return
    for finding in findings:
        if finding["ignored"]:
            continue
        place = next(each for each in finding["locations"] if each["symbolic"]["kind"] == "Primary")
        name = Path(place["symbolic"]["key"]["Local"]["verbatim_path"]).name
        line = place["concrete"]["location"]["start_point"]["row"] + 1
        yield f"{FOLDER / name}:{line}: {finding['ident']}: {finding['desc']}"


def _schema(files: list[Path]) -> list[str]:
    said = json.loads(run([*SCHEMA, *files], cwd=files[0].parent).stdout)
    wrong = [*said.get("errors", []), *said.get("parse_errors", [])]
    return [
        f"{FOLDER / Path(each['filename']).name}: {each.get('path', '')}: {each['message']}" for each in wrong
    ]


def _targets(makefile: str) -> set[str]:
    variables = dict(re.findall(r"^(\w+)\s*:?=\s*(\S+)$", makefile, re.MULTILINE))
    for _ in variables:  # one is made of others
        makefile = re.sub(r"\$\((\w+)\)", lambda match: variables.get(match[1], match[0]), makefile)
    return set(TARGET.findall(makefile))


def _calls(line: str, root: Path, targets: set[str]) -> Iterator[str]:
    if used := USES.match(line):
        if used[1].startswith("./"):
            if not (root / used[1]).exists():
                yield f"there is no {used[1]}"
        elif not PINNED.fullmatch(used[1]):
            yield f"{used[1]} is not pinned by a commit"
    command = line.partition("#")[0]
    for names in MAKE.findall(command):
        for target in names.split():
            if "=" not in target and target not in targets:
                yield f"there is no target {target} to make"
    for module in MODULE.findall(command):
        path = root / module.replace(".", "/")
        if module != "pip" and not path.with_suffix(".py").exists() and not (path / "__main__.py").exists():
            yield f"there is no module {module} to run"
    for name in FILE.findall(command):
        if not (root / name).exists():
            yield f"there is no {name}"
