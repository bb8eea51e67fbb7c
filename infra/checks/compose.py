"""Docker Compose: the compose specification's schema, and what a schema can not see.

That is: what one part of the file says of another, of the Dockerfile, of .env.example and of the service's own
settings; and that nothing in it is a secret, or more than a container needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from infra.checks import monitoring, variables
from infra.checks.dockerfile import read
from infra.checks.monitoring import Services
from infra.checks.tools import run

FILE, EXAMPLE = "docker-compose.yml", ".env.example"
SERVICE = "service"
"""The one that serves; others of our image do one thing and end."""
_VARIABLE = re.compile(r"\$\{([A-Z_]+)")
_SECRET = re.compile(r"(PASSWORD|SECRET|TOKEN|KEY|KEYS)$")
_PASSWORD_IN_URL = re.compile(r"://[^:/@\s]*:(?!\$\{)[^@/\s]+@")
_TAG = re.compile(r":(?!latest$)[A-Za-z0-9][\w.-]*(@sha256:[0-9a-f]{64})?$")


def check(root: Path) -> list[str]:
    """What is wrong; where the schema says something, nothing else is asked."""
    done = run(["check-jsonschema", "--builtin-schema", "vendor.compose-spec", FILE], cwd=root)
    if done.returncode:
        return [f"{FILE}: {line.strip()}" for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    text = (root / FILE).read_text()
    told = yaml.safe_load(text)
    services: Services = told["services"]
    problems = [
        *_order(root, services),
        *_mounts(root, services, told.get("volumes", {})),
        *_ours(root, services),
        *_guards(services),
        *_values(root, text, services),
    ]
    return [f"{FILE}: {each}" for each in problems] + monitoring.check(root, services)


def _order(root: Path, services: Services) -> Iterator[str]:
    image_has_health = bool(read(root / "Dockerfile")[-1].of("HEALTHCHECK"))
    for name, service in services.items():
        for other, how in _dependencies(service):
            target = services.get(other)
            if target is None:
                yield f"{name} depends on {other}, which is no service"
                continue
            health = target.get("healthcheck", {"test": True} if "build" in target and image_has_health else {})
            if how == "service_healthy" and ("test" not in health or health.get("disable")):
                yield f"{name} waits until {other} is healthy, which has no health check"
            if how == "service_completed_successfully" and target.get("restart") != "no":
                yield f"{name} waits until {other} has ended, which is started again"


def _dependencies(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    told = service.get("depends_on", {})
    for other in told:
        yield other, told[other]["condition"] if isinstance(told, dict) else "service_started"


def _mounts(root: Path, services: Services, volumes: dict[str, Any]) -> Iterator[str]:
    used = set()
    for name, service in services.items():
        for mount in service.get("volumes", []):
            source = mount.partition(":")[0]
            if not source.startswith("."):
                used.add(source)
            elif not (root / source).exists():
                yield f"{name}: mounts {source}, which is not there"
    for name in sorted(used ^ set(volumes)):
        yield f"volume {name}: {'nobody uses it' if name in volumes else 'not declared'}"


def _ours(root: Path, services: Services) -> Iterator[str]:
    ours = {name: each for name, each in services.items() if "build" in each}
    for name, service in ours.items():
        for variable in variables.strange(root, set(service["environment"])):
            yield f"{name}: {variable}: no variable of the service's"
        if not service.get("read_only"):
            yield f"{name}: must be read_only, which the image is made for"
    service = services[SERVICE]
    grace = service["environment"].get("SHUTDOWN_GRACE", variables.known(root)["SHUTDOWN_GRACE"])
    given = service.get("stop_grace_period", "10s")
    if variables.seconds(given) <= variables.seconds(grace):
        yield f"{SERVICE}: stop_grace_period {given} must be above SHUTDOWN_GRACE, {grace}"
    exposed = {port for each in read(root / "Dockerfile")[-1].of("EXPOSE") for port in each.words}
    published = {port.rpartition(":")[2] for port in service.get("ports", [])}
    if published != exposed:
        yield f"{SERVICE}: publishes {sorted(published)}, the image exposes {sorted(exposed)}"


def _guards(services: Services) -> Iterator[str]:
    for name, service in services.items():
        if service.get("cap_drop") != ["ALL"] or "no-new-privileges:true" not in service.get(
            "security_opt", []
        ):
            yield f"{name}: must drop all capabilities, and gain no privileges"
        if service.get("privileged") or str(service.get("user", "")).partition(":")[0] in ("0", "root"):
            yield f"{name}: runs as root"
        if "build" not in service and not _TAG.search(service["image"]):
            yield f"{name}: image {service['image']} has no tag that stays"
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                yield f"{name}: publishes {port} to other machines"


def _values(root: Path, text: str, services: Services) -> Iterator[str]:
    used = set(_VARIABLE.findall(text))
    documented = {
        line.partition("=")[0] for line in (root / EXAMPLE).read_text().splitlines() if "=" in line[:40]
    }
    documented = {name for name in documented if re.fullmatch("[A-Z_]+", name)}
    for name in sorted(used ^ documented):
        yield f"{name}: {f'not in {EXAMPLE}' if name in used else f'in {EXAMPLE}, and used by nothing'}"
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            given = str(value)
            if (_SECRET.search(variable) and not given.startswith("${")) or _PASSWORD_IN_URL.search(given):
                yield f"{name}: {variable} has a secret in the file"
