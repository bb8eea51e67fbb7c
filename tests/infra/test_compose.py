"""The judge of Compose: planted errors are found; and what Prometheus is asked for, a real service tells."""

from __future__ import annotations

import argparse
import re
import shutil

import httpx
import pytest
import yaml

from cli.hammer import options
from cli.settings import load
from infra.checks import compose, monitoring
from tests.support.service import ROOT

FILES = (compose.FILE, compose.EXAMPLE, "Dockerfile", "cli/settings.py")


@pytest.fixture
def checkout(tmp_path):
    """What the check reads of ours."""
    shutil.copytree(ROOT / monitoring.FOLDER, tmp_path / monitoring.FOLDER)
    (tmp_path / "cli").mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def plant(root, file: str, old: str, new: str) -> None:
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new))


def test_ours_is_well(checkout):
    assert compose.check(checkout) == []


YML = compose.FILE
DASHBOARD = f"{monitoring.GRAFANA}/dashboards/transactions.json"
ALERTS = f"{monitoring.FOLDER}/alerts.yml"
ERRORS = {
    "a misspelt field": (YML, "stop_grace_period: 30s", "stop_grace: 30s", "stop_grace"),
    "a dangling dependency": (YML, "      redis: {cond", "      cache: {cond", "cache, which is no service"),
    "health that nobody checks": (YML, "test: [CMD, /mailpit, readyz]", "disable: true", "mailpit is healthy, which"),
    "a migration that never ends": (
        YML, 'restart: "no"\n\n  postgres', "restart: always\n\n  postgres", "migrate has ended",
    ),
    "killed before it has drained": (YML, "stop_grace_period: 30s", "stop_grace_period: 20s", "above SHUTDOWN_GRACE"),
    "no time to drain": (YML, "    stop_grace_period: 30s\n", "", "stop_grace_period 10s"),
    "another port": (YML, ":-9090}:9090", ":-9090}:9091", "the image exposes ['8080', '9090']"),
    "open to the street": (YML, '"127.0.0.1:${MAIL_PORT', '"${MAIL_PORT', "to other machines"),
    "a root container": (YML, "user: postgres", 'user: "0"', "postgres: runs as root"),
    "capabilities": (YML, "  cap_drop: [ALL]\n", "", "must drop all capabilities"),
    "a writable root": (YML, "  read_only: true\n  volumes", "  volumes", "must be read_only"),
    "an image that moves": (YML, "redis:7.4-bookworm", "redis:latest", "no tag that stays"),
    "a secret in the file": (YML, "${TOKEN_SYMMETRIC_KEY:-}", "0123456789abcdef0123456789abcdef", "has a secret"),
    "a password in a URL": (
        YML, "${POSTGRES_PASSWORD:?cp .env.example .env}@", "hunter2@", "DATABASE_URL has a secret",
    ),
    "a misspelt variable": (YML, "  LOG_LEVEL: ", "  LOGLEVEL: ", "LOGLEVEL: no variable"),
    "undocumented": (compose.EXAMPLE, "GRPC_PORT=9090\n", "", "GRPC_PORT: not in .env.example"),
    "documented for nothing": (compose.EXAMPLE, "GRPC_PORT", "GRCP_PORT", "GRCP_PORT: in .env.example, and"),
    "a volume that is not there": (YML, "  redis:\n  prometheus:\n", "  prometheus:\n", "volume redis: not declared"),
    "a file that is not there": (YML, "compose/alerts.yml", "compose/rules.yml", "rules.yml, which is not there"),
    "rules that are not mounted": (monitoring.PROMETHEUS, "[alerts.yml]", "[rules.yml]", "compose does not mount it"),
    "nobody to scrape": (monitoring.PROMETHEUS, "service:8080", "service:8081", "service:8081 is no service"),
    "an alert without words": (
        ALERTS, 'annotations: {summary: "connections to PostgreSQL fail"}', "", "DatabaseAway: has no annotations",
    ),
    "a misspelt alert": (ALERTS, "        for: 30s", "        fore: 30s", "fore: no field of an alert"),
    "brackets": (ALERTS, "[10m]) > 0", "[10m] > 0", "UnknownOutcomes: brackets do not match"),
    "no metric of ours": (DASHBOARD, "(transactions_registry_idle)", "(registry_idle)", "Account actors: asks for no"),
    "another data source": (DASHBOARD, '"uid": "prometheus"', '"uid": "loki"', "no such data source"),
}  # fmt: skip


@pytest.mark.parametrize("error", ERRORS)
def test_a_planted_error_is_found(error, checkout):
    file, old, new, problem = ERRORS[error]
    plant(checkout, file, old, new)
    found = compose.check(checkout)
    assert any(problem in each for each in found), found


def environment(name: str) -> dict[str, str]:
    """What a service of compose's is given, with .env as it comes."""
    told = yaml.safe_load((ROOT / compose.FILE).read_text())["services"][name]["environment"]
    lines = [
        line for line in (ROOT / compose.EXAMPLE).read_text().splitlines() if "=" in line and line[0] != "#"
    ]
    given = dict(line.split("=", 1) for line in lines)

    def value(match: re.Match[str]) -> str:
        return given.get(match[1]) or match[2] or ""

    return {key: re.sub(r"\$\{([A-Z_]+)(?::[-?]([^}]*))?\}", value, str(text)) for key, text in told.items()}


@pytest.mark.parametrize("name", ["service", "migrate", "hammer"])
def test_the_service_takes_what_compose_gives_it(name, tmp_path):
    settings = load(environment(name) | {"VAR_DIR": str(tmp_path)})
    assert settings.database_url == "postgresql://transactions:only-on-this-laptop@postgres:5432/transactions"
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.bootstrap_admin is None
    assert len(settings.token_keys) == 1


def test_the_hammer_takes_its_options(tmp_path):
    words = yaml.safe_load((ROOT / compose.FILE).read_text())["services"]["hammer"]["command"]
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    asked = options.read(parser.parse_args(words[1:]), load(environment("hammer") | {"VAR_DIR": str(tmp_path)}))
    assert words[0] == "hammer"
    assert (asked.http, asked.grpc) == (("service", 8080), ("service", 9090))


def test_every_metric_that_is_asked_for_is_told_by_the_service(service):
    httpx.post(f"{service.http}/v1/users/login", json={})
    told = set(re.findall(r"^([a-z_]+)(?:\{| )", httpx.get(f"{service.http}/metrics").text, re.MULTILINE))
    asked = {metric for _, text in monitoring.expressions(ROOT) for metric in monitoring.metrics(text)}
    assert len(asked) > 20
    assert asked - told == set()


def test_the_labels_that_are_asked_for_are_those_of_the_answers(service):
    httpx.post(f"{service.http}/v1/users/login", json={})
    line = next(
        each for each in httpx.get(f"{service.http}/metrics").text.splitlines() if "_seconds_count{" in each
    )
    told = set(re.findall(r'(\w+)="', line)) | {"le", "job", "child", "instance", "worker"}
    for _, text in monitoring.expressions(ROOT):
        assert set(re.findall(r'(\w+)(?:=|=~)"', text)) <= told
        assert {
            name.strip() for names in re.findall(r"by \(([^)]+)\)", text) for name in names.split(",")
        } <= told
