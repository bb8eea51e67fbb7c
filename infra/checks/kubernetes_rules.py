"""What no tool compares: the parts of an overlay with each other, and with the service that they run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.checks.variables import known, seconds, strange

Thing = dict[str, Any]
"""A manifest, as JSON has it."""

WORKLOADS = ("Deployment", "StatefulSet", "Job")
VARIABLES = Path("infra/kubernetes/components/variables/variables.env")
OUTPUTS = Path("infra/aws/outputs.tf")
TOLD = re.compile(r"^ +([A-Z_]+) += ", re.MULTILINE)


def check(things: list[Thing], overlays: Mapping[str, list[Thing]], root: Path) -> list[str]:
    """What does not fit together, a line each; `overlays` are all there are, for what one says of another."""
    parts = Parts(things)
    everywhere = [thing for others in overlays.values() for thing in others]
    found: list[str] = []
    for pods in parts.workloads:
        found += [
            *_labels(pods),
            *_references(pods, parts),
            *_images(pods),
            *_root(pods),
            *_grace(pods, parts, root),
        ]
        found += _strange_settings(pods, parts, root)
    for thing in things:
        found += [*_reach(thing, parts), *_scaled(thing, parts), *_routed(thing, parts, everywhere)]
    return found + _unfilled(things, root)


class Parts:
    """The manifests of one overlay by what they are."""

    def __init__(self, things: Sequence[Thing]) -> None:
        self.things = things
        self.workloads = [thing for thing in things if thing["kind"] in WORKLOADS]

    def find(self, kind: str, name: str) -> Thing | None:
        """The one of that name."""
        named = (thing for thing in self.things if (thing["kind"], thing["metadata"]["name"]) == (kind, name))
        return next(named, None)

    def selected(self, labels: Mapping[str, str]) -> list[Thing]:
        """The workloads whose pods have these labels."""
        return [each for each in self.workloads if labels.items() <= _pod(each)["metadata"]["labels"].items()]

    def environment(self, pods: Thing) -> dict[str, str]:
        """What the first container of these pods is told; a secret's values are not known, and empty."""
        container = _pod(pods)["spec"]["containers"][0]
        told = {each["name"]: str(each.get("value", "")) for each in container.get("env", [])}
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                settings = self.find("ConfigMap", source["configMapRef"]["name"]) or {}
                told |= settings.get("data", {})
            else:
                told |= dict.fromkeys(self.secret(source["secretRef"]["name"]) or (), "")
        return told

    def secret(self, name: str) -> set[str] | None:
        """Its keys, whether it is here or will be written by External Secrets; None: there is none."""
        if (here := self.find("Secret", name)) is not None:
            return set(here.get("data", {})) | set(here.get("stringData", {}))
        for thing in self.things:
            if thing["kind"] == "ExternalSecret" and thing["spec"]["target"]["name"] == name:
                return set(thing["spec"]["target"]["template"]["data"])
        return None


def name_of(thing: Thing) -> str:
    """As kubectl says it."""
    return f"{thing['kind'].lower()}/{thing['metadata']['name']}"


def _pod(workload: Thing) -> Thing:
    template: Thing = workload["spec"]["template"]
    return template


def _labels(pods: Thing) -> Iterator[str]:
    wanted = pods["spec"].get("selector", {}).get("matchLabels", {})
    if not wanted.items() <= _pod(pods)["metadata"]["labels"].items():
        yield f"{name_of(pods)}: its selector does not match the labels of its own pods"


def _references(pods: Thing, parts: Parts) -> Iterator[str]:
    spec = _pod(pods)["spec"]
    account = spec.get("serviceAccountName", "default")
    if account != "default" and parts.find("ServiceAccount", account) is None:
        yield f"{name_of(pods)}: there is no serviceaccount/{account}"
    for container in spec["containers"]:
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                name = source["configMapRef"]["name"]
                missing = parts.find("ConfigMap", name) is None
            else:
                name = source["secretRef"]["name"]
                missing = parts.secret(name) is None
            if missing:
                yield f"{name_of(pods)}: nothing makes {name!r}, which its environment is from"


def _images(pods: Thing) -> Iterator[str]:
    for container in [*_pod(pods)["spec"].get("initContainers", []), *_pod(pods)["spec"]["containers"]]:
        image = container["image"]
        tag = image.rpartition("/")[2].partition(":")[2]
        if "@sha256:" not in image and tag in ("", "latest"):
            yield f"{name_of(pods)}: the image {image!r} has no version"


def _root(pods: Thing) -> Iterator[str]:
    # The policies overlook what a container says against its pod, and a user 0 where low users are excused.
    spec = _pod(pods)["spec"]
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        context = spec.get("securityContext", {}) | container.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) == 0:
            yield f"{name_of(pods)}: container {container['name']!r} may run as root"


def _grace(pods: Thing, parts: Parts, root: Path) -> Iterator[str]:
    spec = _pod(pods)["spec"]
    container = spec["containers"][0]
    if container.get("args") != ["serve"]:
        return
    grace_s = seconds(parts.environment(pods).get("SHUTDOWN_GRACE", known(root)["SHUTDOWN_GRACE"]))
    sleep_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if grace_s == 0 or sleep_s == 0:
        yield f"{name_of(pods)}: must sleep in preStop, and say SHUTDOWN_GRACE in seconds"
    elif (needed_s := sleep_s + grace_s) >= (given_s := spec.get("terminationGracePeriodSeconds", 30)):
        yield f"{name_of(pods)}: preStop and SHUTDOWN_GRACE take {needed_s:g} s, the cluster gives {given_s}"


def _strange_settings(pods: Thing, parts: Parts, root: Path) -> Iterator[str]:
    if _pod(pods)["metadata"]["labels"].get("app.kubernetes.io/name") != "transactions":
        return
    told = parts.environment(pods)
    for name in strange(root, set(told)):
        yield f"{name_of(pods)}: the service knows no setting {name}"
    for name in ("DATABASE_URL", "REDIS_URL", "TOKEN_SYMMETRIC_KEY"):
        if name not in told:
            yield f"{name_of(pods)}: is not told {name}"


def _reach(thing: Thing, parts: Parts) -> Iterator[str]:
    spec = thing.get("spec", {})
    if thing["kind"] == "Service":
        targets = parts.selected(spec["selector"])
        if not targets:
            yield f"{name_of(thing)}: selects no pods"
        for target, port in ((target, port) for target in targets for port in spec["ports"]):
            ports = [
                each for container in _pod(target)["spec"]["containers"] for each in container.get("ports", [])
            ]
            wanted = port.get("targetPort", port["port"])
            if wanted not in {value for each in ports for value in (each["name"], each["containerPort"])}:
                yield f"{name_of(thing)}: {name_of(target)} has no port {wanted}"
    if thing["kind"] in ("PodDisruptionBudget", "NetworkPolicy"):
        labels = spec.get("selector", spec.get("podSelector", {})).get("matchLabels", {})
        if labels and not parts.selected(labels):
            yield f"{name_of(thing)}: selects no pods"


def _scaled(thing: Thing, parts: Parts) -> Iterator[str]:
    if thing["kind"] != "HorizontalPodAutoscaler":
        return
    target = thing["spec"]["scaleTargetRef"]
    found = parts.find(target["kind"], target["name"])
    if found is None:
        yield f"{name_of(thing)}: there is no {target['kind'].lower()}/{target['name']}"
    elif "replicas" in found["spec"]:
        yield f"{name_of(found)}: says how many replicas, which {name_of(thing)} decides"


def _routed(thing: Thing, parts: Parts, everywhere: Sequence[Thing]) -> Iterator[str]:
    for name, port in _backends(thing):
        service = parts.find("Service", name)
        if service is None:
            yield f"{name_of(thing)}: there is no service/{name}"
        elif port not in {value for each in service["spec"]["ports"] for value in (each["name"], each["port"])}:
            yield f"{name_of(thing)}: service/{name} has no port {port}"
    for parent in thing.get("spec", {}).get("parentRefs", []):
        gateway = Parts(everywhere).find("Gateway", parent["name"])
        names = {each["name"] for each in gateway["spec"]["listeners"]} if gateway else set()
        if parent.get("sectionName") not in names:
            yield f"{name_of(thing)}: gateway/{parent['name']} has no listener {parent.get('sectionName')}"


def _backends(thing: Thing) -> Iterator[tuple[str, str | int]]:
    for rule in thing.get("spec", {}).get("rules", []) if thing["kind"] in ("HTTPRoute", "GRPCRoute") else []:
        yield from ((each["name"], each["port"]) for each in rule.get("backendRefs", []))
    for rule in thing["spec"]["rules"] if thing["kind"] == "Ingress" else []:
        for path in rule["http"]["paths"]:
            service = path["backend"]["service"]
            yield service["name"], service["port"].get("name", service["port"].get("number"))


def variables(root: Path) -> list[str]:
    """What an account and a domain fill in."""
    lines = (root / VARIABLES).read_text().splitlines()
    return [line.partition("=")[0] for line in lines if line and not line.startswith("#")]


def untold(root: Path) -> list[str]:
    """The variables that Terraform does not write, or that it writes for nobody."""
    if not (root / OUTPUTS).exists():
        return []
    told, wanted = set(TOLD.findall((root / OUTPUTS).read_text())), set(variables(root))
    return [f"{OUTPUTS}: {name} is not in {VARIABLES}" for name in sorted(told - wanted)] + [
        f"{VARIABLES}: Terraform does not write {name}" for name in sorted(wanted - told)
    ]


def _unfilled(things: Sequence[Thing], root: Path) -> list[str]:
    names = variables(root)
    # A variable's name as the value, or as a part of it that is not a setting's name too.
    left = re.compile(rf"(?<![A-Z_])({'|'.join(names)})(?![A-Z_])")
    found = ((thing, match) for thing in things for text in _texts(thing) if (match := left.search(text)))
    return [f"{name_of(thing)}: nothing puts {match[0]} in {match.string!r}" for thing, match in found]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for each in value.values() for text in _texts(each))
    elif isinstance(value, list):
        yield from (text for each in value for text in _texts(each))
