"""A roll-out against a kubectl that only says what it was asked: the order of steps, and the way back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infra import rollout
from infra.checks import kubernetes
from infra.checks.kubernetes_rules import name_of
from infra.rollout import Failed, Kubectl

ROOT = Path(__file__).resolve().parent.parent.parent
OVERLAY = Path("overlays/aws")
ALL_BUT_SERVERS = "apply -k overlays/aws --selector app.kubernetes.io/component!=server"
SERVERS = "apply -k overlays/aws"
STATUS = "rollout status deployment/transactions --timeout=600s"
UNDO = "rollout undo deployment/transactions --to-revision=7"
BEFORE = "get deployment/transactions* => 7"
MIGRATED = "get job/migrate* => SuccessCriteriaMet Complete"
PROGRAM = """#!{python}
import os, sys
folder, asked = {folder!r}, " ".join(sys.argv[3:])
with open(folder + "/asked", "a") as file:
    file.write(asked + "\\n")
for line in open(folder + "/answers"):
    wanted, _, answer = line.strip().partition(" => ")
    if asked == wanted or (wanted.endswith("*") and asked.startswith(wanted[:-1])):
        if answer == "fails":
            sys.exit(1)
        print(answer)
        break
"""


class Cluster(Kubectl):
    """The program, what it answers, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        program = folder / "kubectl"
        program.write_text(PROGRAM.format(python=sys.executable, folder=str(folder)))
        program.chmod(0o755)
        object.__setattr__(self, "folder", folder)
        super().__init__("transactions", str(program))
        self.answers(BEFORE, MIGRATED)

    folder: Path

    def answers(self, *lines: str) -> None:
        (self.folder / "answers").write_text("\n".join(lines))

    @property
    def changes(self) -> list[str]:
        lines = (self.folder / "asked").read_text().splitlines()
        return [line for line in lines if not line.startswith(("get", "logs", "describe"))]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def nothing() -> None:
    pass


def failing() -> None:
    raise Failed("the smoke test failed")


def test_rollout_migrates_before_the_servers(cluster: Cluster) -> None:
    rollout.roll_out(OVERLAY, cluster, nothing)
    assert cluster.changes == ["delete job/migrate --ignore-not-found --wait", ALL_BUT_SERVERS, SERVERS, STATUS]


def test_rollout_waits_for_the_migration(cluster: Cluster) -> None:
    cluster.answers(BEFORE, "get job/migrate* => ")
    pauses: list[float] = []

    def until_it_is_done(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 3:
            cluster.answers(MIGRATED)

    rollout.roll_out(OVERLAY, cluster, nothing, until_it_is_done)
    assert len(pauses) == 3
    assert cluster.changes[-1] == STATUS


@pytest.mark.parametrize("ended", ["Failed", "FailureTarget Failed", ""], ids=["failed", "newer", "never"])
def test_rollout_touches_no_server_after_a_migration_that_failed(cluster: Cluster, ended: str) -> None:
    cluster.answers(BEFORE, f"get job/migrate* => {ended}")
    with pytest.raises(Failed, match="nothing is rolled out"):
        rollout.roll_out(OVERLAY, cluster, nothing, lambda _: None)
    assert cluster.changes[-1] == ALL_BUT_SERVERS


@pytest.mark.parametrize("broken", [SERVERS, STATUS], ids=["refused", "never ready"])
def test_rollout_goes_back_to_the_revision_it_had(cluster: Cluster, broken: str) -> None:
    cluster.answers(BEFORE, MIGRATED, f"{broken} => fails")
    with pytest.raises(Failed):
        rollout.roll_out(OVERLAY, cluster, nothing)
    assert cluster.changes[-2:] == [UNDO, STATUS]


def test_rollout_goes_back_when_the_smoke_test_fails(cluster: Cluster) -> None:
    with pytest.raises(Failed, match="rolled back to revision 7"):
        rollout.roll_out(OVERLAY, cluster, failing)
    assert cluster.changes[-4:] == [SERVERS, STATUS, UNDO, STATUS]


def test_rollout_the_first_one_has_nothing_to_go_back_to(cluster: Cluster) -> None:
    cluster.answers("get deployment/transactions* => ", MIGRATED)
    with pytest.raises(Failed, match="no revision before it"):
        rollout.roll_out(OVERLAY, cluster, failing)
    assert cluster.changes[-1] == STATUS


def test_rollout_smoke_test_makes_users_and_takes_their_roles(cluster: Cluster, tmp_path: Path) -> None:
    program = tmp_path / "transactions"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/smoke\n')
    program.chmod(0o755)
    rollout.smoke_test(cluster, [str(program)], "https://api.bank.example.com", "grpc.bank.example.com:443")
    smoked = (tmp_path / "smoke").read_text().split()
    assert smoked[:4] == ["smoke", "https://api.bank.example.com", "--grpc", "grpc.bank.example.com:443"]
    depositor, banker = smoked[smoked.index("--username") + 1], smoked[smoked.index("--banker") + 1]
    asked = "exec -i deployment/transactions -- transactions user"
    assert cluster.changes == [
        f"{asked} create {depositor} depositor",
        f"{asked} create {banker} banker",
        f"{asked} revoke {depositor} depositor",
        f"{asked} revoke {banker} banker",
    ]


def test_rollout_smoke_test_that_fails_is_tried_again_and_leaves_no_role(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "SMOKE_PAUSE_S", 0.0)
    program = tmp_path / "transactions"
    program.write_text(f"#!/bin/sh\necho tried >> {tmp_path}/smoke\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(Failed, match="smoke test failed"):
        rollout.smoke_test(cluster, [str(program)], "https://api.bank.example.com", "grpc.bank.example.com:443")
    assert (tmp_path / "smoke").read_text().split() == ["tried"] * rollout.SMOKE_TRIES
    assert [line.split()[6] for line in cluster.changes] == ["create", "create", "revoke", "revoke"]


def test_rollout_what_waits_for_the_migration_is_labelled() -> None:
    overlay = kubernetes.put_together(ROOT / kubernetes.FOLDER / "overlays" / "aws")
    labels = {
        name_of(thing): thing["metadata"]["labels"].get("app.kubernetes.io/component") for thing in overlay
    }
    waiting = {name for name, component in labels.items() if component == "server"}
    assert waiting == {
        f"{kind}/transactions"
        for kind in ("deployment", "service", "horizontalpodautoscaler", "poddisruptionbudget")
    }
    assert labels["job/migrate"] == "migration"
    assert rollout.OTHERS == "app.kubernetes.io/component!=server"
