"""Kubernetes: each overlay put together, and judged as it would be applied.

Kubernetes' own schemas for the oldest and the newest version that is supported; for the kinds that controllers bring,
the fields that we use (`shapes.json`); checkov's policies, whose exceptions are annotations in the files; and what no
tool compares: the parts with each other and with the service (`kubernetes_rules`).
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import yaml

from infra.checks import kubernetes_rules, policies
from infra.checks.kubectl import Unrendered, render
from infra.checks.kubernetes_rules import Thing
from infra.checks.tools import run

FOLDER = Path("infra/kubernetes")
OVERLAYS = ("overlays/dev", "overlays/aws", "overlays/aws-ingress-nginx", "cluster", "entry")
VERSIONS = ("1.35", "1.37")
SHAPES = Path(__file__).with_name("shapes.json")
BUILT_IN = re.compile(r"v1|[a-z]+/v\d+|[a-z.]+\.k8s\.io/v\d+")
"""An apiVersion of Kubernetes' own. The Gateway API's ends in k8s.io too."""
SPACE = re.compile(r"\s+")


def check(root: Path) -> list[str]:
    """What is wrong in `infra/kubernetes`, a line each, beginning with the folder that was put together."""
    problems = kubernetes_rules.untold(root)
    with tempfile.TemporaryDirectory(prefix="rendered-") as name:
        rendered = Path(name)
        overlays: dict[str, list[Thing]] = {}
        for overlay in OVERLAYS:
            try:
                overlays[overlay] = put_together(root / FOLDER / overlay)
            except Unrendered as unrendered:
                problems.append(f"{FOLDER / overlay}: {unrendered}")
        for overlay, things in overlays.items():
            found = [*_schemas(things, rendered), *_shapes(things, rendered)]
            found += kubernetes_rules.check(things, overlays, root)
            problems += [f"{FOLDER / overlay}: {problem}" for problem in found]
            (rendered / f"{Path(overlay).name}.yaml").write_text(_documents(things))
        problems += policies.broken(
            "kubernetes", rendered, str(FOLDER), lambda each: f"{FOLDER}: {each['resource']}"
        )
    return problems


def put_together(folder: Path) -> list[Thing]:
    """What would be applied. Raises Unrendered."""
    return list(yaml.safe_load_all(render(folder)))


def _schemas(things: list[Thing], rendered: Path) -> list[str]:
    file = rendered / "built-in.json"
    file.write_text(_documents([thing for thing in things if is_built_in(thing["apiVersion"])]))
    problems = []
    for version in VERSIONS:
        done = run(["kubernetes-validate", "-k", version, "--strict", "--quiet", file], cwd=rendered)
        # A kind that it does not know is a warning to it, and to us a misspelt one.
        problems += [f"Kubernetes {version}: {line}" for line in _lines(done.stdout + done.stderr, file)]
    file.unlink()
    return problems


def _documents(things: list[Thing]) -> str:
    return "\n---\n".join(map(json.dumps, things))  # JSON is YAML


def _lines(said: str, file: Path) -> list[str]:
    return [SPACE.sub(" ", line.replace(str(file), "")) for line in said.splitlines() if line.strip()]


def _shapes(things: list[Thing], rendered: Path) -> list[str]:
    files = []
    for thing in things:
        if not is_built_in(thing["apiVersion"]):
            files.append(rendered / f"{thing['kind']}-{thing['metadata']['name']}.json")
            files[-1].write_text(json.dumps(thing))
    if not files:
        return []
    done = run(["check-jsonschema", "-o", "json", "--schemafile", SHAPES, *files], cwd=rendered)
    for file in files:
        file.unlink()  # checkov reads this folder next
    said = json.loads(done.stdout)
    wrong = [(error["filename"], error["path"], error["message"]) for error in said.get("errors", [])]
    wrong += [(error["filename"], "", error["message"]) for error in said.get("parse_errors", [])]
    return [f"{Path(file).stem} {path}: {message} (infra/checks/shapes.json)" for file, path, message in wrong]


def is_built_in(version: str) -> bool:
    """Whether Kubernetes' own schemas have it."""
    return bool(BUILT_IN.fullmatch(version)) and not version.startswith("gateway.")
