"""`make infra` on Kubernetes: what is planted in the manifests is found and named."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from cli import settings
from infra.checks import kubectl, kubernetes, kubernetes_rules, variables
from infra.checks.kubernetes_rules import Parts
from infra.checks.tools import NotChecked

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLES = {
    "DATABASE_URL": "postgresql://bank:secret@db:5432/transactions?sslmode=require",
    "REDIS_URL": "rediss://:secret@cache:6379/0",
    "TOKEN_SYMMETRIC_KEY": "0" * 64,
    "TOKEN_RETIRED_KEYS": f"{'1' * 64},{'2' * 64}",
    "SMTP_URL": "smtp://bank:secret@mail.example.com:587",
}


@dataclass(frozen=True)
class Planted:
    """One text of one manifest becomes another: then this is found."""

    file: str
    text: str
    wrong: str
    problem: str


D, S = "base/deployment.yaml", "base/service.yaml"
ROUTES, SECRETS, VARIABLES = (
    "components/gateway/routes.yaml",
    "components/aws/secrets.yaml",
    "components/variables",
)
SOME = (
    Planted(D, "readinessProbe:", "readynessProbe:", r"overlays/dev: Kubernetes 1\.35: .*readynessProbe"),
    Planted(
        D,
        "readOnlyRootFilesystem: true",
        "readOnlyRootFilesystem: false",
        "Deployment.*transactions: CKV_K8S_22",
    ),
    Planted(
        D, "terminationGracePeriodSeconds: 40", "terminationGracePeriodSeconds: 30", "take 30 s, .* gives 30"
    ),
    Planted(
        "base/migration.yaml",
        "runAsUser: 10001",
        "runAsUser: 0",
        "job/migrate: container 'migrate' may run as root",
    ),
    Planted(
        "overlays/dev/redis.yaml",
        "runAsNonRoot: true",
        "runAsNonRoot: false",
        "deployment/redis: container 'redis' may run as root",
    ),
    Planted(
        "overlays/dev/mail.yaml",
        "mailpit:v1.31.2",
        "mailpit:latest",
        "deployment/mail: .*mailpit:latest' has no",
    ),
    Planted("base/settings.env", "LOG_LEVEL=", "LOGLEVEL=", "deployment/transactions: .* no setting LOGLEVEL"),
    Planted(S, "targetPort: grpc", "targetPort: grcp", "service/transactions: .* has no port grcp"),
    Planted(
        SECRETS, "refreshInterval:", "refreshIntervall:", "aws: ExternalSecret-transactions .*refreshIntervall"
    ),
    Planted(ROUTES, "    - matches:", "    - match:", "aws: HTTPRoute-api .*'match'"),
    Planted(ROUTES, "port: 9090", "port: 9091", "grpcroute/grpc: service/transactions has no port 9091"),
    Planted(ROUTES, "sectionName: grpc", "sectionName: rpc", "grpcroute/grpc: .* has no listener rpc"),
    Planted(
        "entry/gateway.yaml",
        "certificateRefs:",
        "certificateRef:",
        "entry: Gateway-transactions .*certificateRef",
    ),
    Planted(
        "components/aws/autoscaling.yaml",
        "name: transactions\n  min",
        "name: bank\n  min",
        "no deployment/bank",
    ),
    Planted(
        "components/aws/settings.env", "bank@DOMAIN", "REGION@DOMAIN", "nothing puts REGION in 'REGION@bank"
    ),
)
OTHERS = (
    Planted(
        "base/disruption.yaml", "kind: PodDisruptionBudget", "kind: PodDisruptionBudgt", "PodDisruptionBudgt"
    ),
    Planted("base/settings.env", "SHUTDOWN_GRACE=25s", "SHUTDOWN_GRACE=60s", "take 65 s, .* gives 40"),
    Planted(
        S,
        "    app.kubernetes.io/component: server\n  ports",
        "    component: x\n  ports",
        "service/transactions: sel",
    ),
    Planted(
        SECRETS,
        "    name: transactions\n    cr",
        "    name: bank\n    cr",
        "aws: job/migrate: nothing makes 'transactions'",
    ),
    Planted(
        "components/aws/kustomization.yaml",
        "op: remove\n        path: /spec/replicas",
        "op: add\n        path: /spec/paused\n        value: false",
        "aws: deployment/transactions: says how many",
    ),
    Planted(
        f"{VARIABLES}/kustomization.yaml",
        "select: {kind: SecretStore}",
        "select: {kind: Nothing}",
        "REGION",
    ),
)
ALONE = (
    Planted(
        "base/kustomization.yaml",
        "- service.yaml",
        "- services.yaml",
        "infra/kubernetes/overlays/aws: .*services",
    ),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[Planted]], list[str]]:
    """What is found in a copy with all of these, which do not get in each other's way; asked once."""

    @cache
    def ask(plants: tuple[Planted, ...]) -> list[str]:
        root = tmp_path_factory.mktemp("planted")
        shutil.copytree(ROOT / kubernetes.FOLDER, root / kubernetes.FOLDER)
        (root / "cli").mkdir()
        shutil.copy(ROOT / "cli" / "settings.py", root / "cli")
        for each in plants:
            path = root / kubernetes.FOLDER / each.file
            before = path.read_text()
            assert each.text in before, each
            path.write_text(before.replace(each.text, each.wrong, 1))
        return kubernetes.check(root)

    return ask


def test_kubernetes_manifests_are_clean() -> None:
    assert kubernetes.check(ROOT) == []


@pytest.mark.parametrize(
    ("plants", "number"),
    [(plants, number) for plants in (SOME, OTHERS, ALONE) for number in range(len(plants))],
    ids=[each.problem for plants in (SOME, OTHERS, ALONE) for each in plants],
)
def test_kubernetes_planted_error_is_found(
    found: Callable[[Sequence[Planted]], list[str]], plants: tuple[Planted, ...], number: int
) -> None:
    problems = found(plants)
    assert any(re.search(plants[number].problem, problem) for problem in problems), "\n".join(problems)


def test_kubernetes_settings_start_the_service() -> None:
    for overlay in ("overlays/dev", "overlays/aws", "overlays/aws-ingress-nginx"):
        parts = Parts(kubernetes.put_together(ROOT / kubernetes.FOLDER / overlay))
        server = parts.find("Deployment", "transactions")
        assert server is not None
        told = parts.environment(server)
        for secret in (thing for thing in parts.things if thing["kind"] == "Secret"):
            told |= {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
        told |= {name: SAMPLES[name] for name, value in told.items() if not value}
        told["VAR_DIR"] = "var"
        read = settings.load(told)
        assert read.environment == ("development" if overlay.endswith("dev") else "production")
        assert read.http_server_address == "0.0.0.0:8080"
        assert read.grpc_server_address == "0.0.0.0:9090"
        assert read.smtp_url


def test_kubernetes_variables_that_terraform_does_not_write_are_named(tmp_path: Path) -> None:
    for file, text in (
        (kubernetes_rules.VARIABLES, "# said\nDOMAIN=a\nREGION=b\n"),
        (kubernetes_rules.OUTPUTS, "  DOMAIN = x\n  ZONE   = y\n"),
    ):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(text)
    assert kubernetes_rules.untold(tmp_path) == [
        f"{kubernetes_rules.OUTPUTS}: ZONE is not in {kubernetes_rules.VARIABLES}",
        f"{kubernetes_rules.VARIABLES}: Terraform does not write REGION",
    ]


def test_kubernetes_settings_that_are_read_are_known() -> None:
    assert {"SHUTDOWN_GRACE", "DATABASE_URL", "GRPC_TLS_KEY", "VAR_DIR"} <= variables.known(ROOT).keys()


def test_kubectl_is_unpacked_where_the_path_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archives = kubectl.ENVIRONMENT.parent
    monkeypatch.setattr(kubectl, "ENVIRONMENT", tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tmp_path))
    kubectl.kubectl.cache_clear()
    try:
        with pytest.raises(NotChecked, match="no kubectl on the PATH"):
            kubectl.kubectl()
        (tmp_path / "bin").mkdir()
        (tmp_path / "lib").symlink_to(archives / "lib")
        monkeypatch.setattr(kubectl.platform, "machine", lambda: "riscv64")
        with pytest.raises(NotChecked, match="none for this machine"):
            kubectl.kubectl()
        monkeypatch.setattr(kubectl.platform, "machine", lambda: "x86_64")
        found = kubectl.kubectl()
        assert found == tmp_path / "bin" / "kubectl"
        rendered = kubectl.render(ROOT / kubernetes.FOLDER / "base")
    finally:
        kubectl.kubectl.cache_clear()
    assert "kind: Deployment" in rendered
