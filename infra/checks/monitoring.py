"""What Prometheus and Grafana are given: that their files name each other, and metrics, as they are.

A test asks a running service for its metrics and compares; without one, only their beginnings are known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

FOLDER = "infra/compose"
PROMETHEUS, GRAFANA = f"{FOLDER}/prometheus.yml", f"{FOLDER}/grafana"
ALERT_MUST = {"alert", "expr", "labels", "annotations"}
ALERT_MAY = {"for", "keep_firing_for"}
OF_PROMETHEUS = {"up"}
_NAME = re.compile(r"\b(?:transactions|process)_[a-z_]+|\bup\b")
_STRING = re.compile(r'"[^"]*"')

Services = dict[str, dict[str, Any]]


def check(root: Path, services: Services) -> list[str]:
    """What is wrong with the files of both; `services` are compose's."""
    return [*_scraping(root, services), *_alerts(root), *_dashboards(root, services)]


def expressions(root: Path) -> Iterator[tuple[str, str]]:
    """Every question that is put to Prometheus, and where."""
    for file, rule in _rules(root):
        yield f"{file}: {rule.get('alert')}", rule.get("expr", "")
    for path in sorted((root / GRAFANA / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{path.relative_to(root)}: {panel['title']}", target["expr"]


def metrics(expression: str) -> set[str]:
    """The metrics that an expression asks for, but for Prometheus's own."""
    return set(_NAME.findall(_STRING.sub('""', expression))) - OF_PROMETHEUS


def _rules(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in yaml.safe_load((root / PROMETHEUS).read_text()).get("rule_files", []):
        if (root / FOLDER / name).exists():
            for group in yaml.safe_load((root / FOLDER / name).read_text())["groups"]:
                for rule in group["rules"]:
                    yield f"{FOLDER}/{name}", rule


def _scraping(root: Path, services: Services) -> Iterator[str]:
    told = yaml.safe_load((root / PROMETHEUS).read_text())
    mounted = {mount.split(":")[0].removeprefix("./") for mount in services["prometheus"]["volumes"]}
    for path in (PROMETHEUS, *(f"{FOLDER}/{name}" for name in told.get("rule_files", []))):
        if not (root / path).exists() or path not in mounted:
            yield f"{PROMETHEUS}: {path} is not there, or compose does not mount it"
    for job in told["scrape_configs"]:
        for target in (target for each in job["static_configs"] for target in each["targets"]):
            yield from _reached(PROMETHEUS, target, services)


def _reached(where: str, address: str, services: Services) -> Iterator[str]:
    host, _, port = address.partition(":")
    published = [each.rpartition(":")[2] for each in services.get(host, {}).get("ports", [])]
    if port not in published:
        yield f"{where}: {address} is no service of compose's, or not its port"


def _alerts(root: Path) -> Iterator[str]:
    for file, rule in _rules(root):
        name = f"{file}: {rule.get('alert')}"
        if missing := ALERT_MUST - rule.keys():
            yield f"{name}: has no {', '.join(sorted(missing))}"
        if strange := rule.keys() - ALERT_MUST - ALERT_MAY:
            yield f"{name}: {', '.join(sorted(strange))}: no field of an alert"
    for name, expression in expressions(root):
        bare = _STRING.sub('""', expression)
        if not metrics(expression) and not OF_PROMETHEUS & set(_NAME.findall(bare)):
            yield f"{name}: asks for no metric of ours"
        if any(bare.count(one) != bare.count(other) for one, other in ("()", "[]", "{}")):
            yield f"{name}: brackets do not match"


def _dashboards(root: Path, services: Services) -> Iterator[str]:
    folder = root / GRAFANA
    sources = [
        source
        for path in (folder / "provisioning/datasources").glob("*.yml")
        for source in yaml.safe_load(path.read_text())["datasources"]
    ]
    for source in sources:
        yield from _reached(f"{GRAFANA}: {source['name']}", urlsplit(source["url"]).netloc, services)
    uids = {source["uid"] for source in sources}
    for path in sorted((folder / "dashboards").glob("*.json")):
        panels = json.loads(path.read_text())["panels"]
        if len({panel["id"] for panel in panels}) < len(panels):
            yield f"{path.relative_to(root)}: an id is there twice"
        for panel in panels:
            if panel["datasource"]["uid"] not in uids:
                yield f"{path.relative_to(root)}: {panel['title']}: no such data source"
