"""`python3 -m infra.rollout OVERLAY`: bring a cluster to what an overlay says; exit status 1: it is as it was before.

Everything but the servers is applied first, among it the migration's Job, which must complete: the pods that run
meanwhile know the schema before and after (expand and contract). Then the servers are, and if they do not become ready,
or do not pass the smoke test, the Deployment goes back to the revision that it had. The schema never does.

Needs kubectl and nothing else of ours: it runs wherever Python does.
"""

from __future__ import annotations

import argparse
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DEPLOYMENT, JOB = "deployment/transactions", "job/migrate"
SERVERS = "app.kubernetes.io/component=server"
OTHERS = "app.kubernetes.io/component!=server"
REVISION = r"jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}"
ENDED = 'jsonpath={.status.conditions[?(@.status=="True")].type}'
MIGRATION_S, ROLL_OUT_S = 660.0, 600
"""Above the Job's activeDeadlineSeconds; and above the Deployment's progressDeadlineSeconds."""
POLL_S = 2.0
SMOKE_TRIES, SMOKE_PAUSE_S = 3, 10.0
"""The entry hears of new pods a moment later."""


class Failed(Exception):
    """One line: which step, and what became of it."""


@dataclass(frozen=True)
class Kubectl:
    """The cluster of the current context, one namespace of it."""

    namespace: str
    program: str = "kubectl"

    def __call__(self, *arguments: str, given: str | None = None) -> None:
        """Do it, where one can see it; raises Failed."""
        say(f"kubectl {shlex.join(arguments)}")
        if subprocess.run(self._command(arguments), input=given, text=True, check=False).returncode != 0:  # noqa: S603
            raise Failed(f"kubectl {arguments[0]} failed")

    def read(self, *arguments: str) -> str:
        """What it answers; raises Failed."""
        command = self._command(arguments)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            raise Failed(f"kubectl {arguments[0]} failed")
        return done.stdout.strip()

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [self.program, "--namespace", self.namespace, *arguments]


def roll_out(
    overlay: Path,
    kubectl: Kubectl,
    smoke: Callable[[], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """All of it; raises Failed, after the way back where there is one."""
    before = kubectl.read("get", DEPLOYMENT, "--ignore-not-found", "-o", REVISION)
    migrate(overlay, kubectl, sleep)
    try:
        kubectl("apply", "-k", str(overlay))
        kubectl("rollout", "status", DEPLOYMENT, f"--timeout={ROLL_OUT_S}s")
        smoke()
    except Failed as failed:
        say(f"error: {failed}")
        _show(kubectl, "get", "pods", "--selector", SERVERS)
        _show(kubectl, "logs", "--selector", SERVERS, "--tail=20", "--prefix")
        if not before:
            raise Failed("not rolled out, and there is no revision before it") from failed
        # To that revision, and not to the one before: what failed may have changed nothing.
        kubectl("rollout", "undo", DEPLOYMENT, f"--to-revision={before}")
        kubectl("rollout", "status", DEPLOYMENT, f"--timeout={ROLL_OUT_S}s")
        raise Failed(f"rolled back to revision {before}") from failed


def migrate(overlay: Path, kubectl: Kubectl, sleep: Callable[[float], None] = time.sleep) -> None:
    """Apply all but the servers, and wait for the Job; raises Failed."""
    kubectl("delete", JOB, "--ignore-not-found", "--wait")  # a Job can not be changed
    kubectl("apply", "-k", str(overlay), "--selector", OTHERS)
    waited_s = 0.0
    while True:
        ended = kubectl.read("get", JOB, "-o", ENDED).split()
        if "Complete" in ended:
            _show(kubectl, "logs", JOB)
            return
        if "Failed" in ended or waited_s >= MIGRATION_S:
            _show(kubectl, "describe", JOB)
            _show(kubectl, "logs", JOB, "--tail=50")
            raise Failed("the migration has not completed: nothing is rolled out")
        sleep(POLL_S)
        waited_s += POLL_S


def smoke_test(kubectl: Kubectl, transactions: Sequence[str], url: str, grpc: str) -> None:
    """`transactions smoke` from here, through the entry, as two users made for it; raises Failed."""
    with _users(kubectl) as (depositor, banker, password):
        users = [
            "--username",
            depositor,
            "--password",
            password,
            "--banker",
            banker,
            "--banker-password",
            password,
        ]
        command = [*transactions, "smoke", url, "--grpc", grpc]
        for left in reversed(range(SMOKE_TRIES)):
            say(shlex.join(command))
            if subprocess.run([*command, *users], check=False).returncode == 0:  # noqa: S603
                return
            if left:
                time.sleep(SMOKE_PAUSE_S)
    raise Failed("the smoke test failed")


@contextmanager
def _users(kubectl: Kubectl) -> Iterator[tuple[str, str, str]]:
    # Without a role nobody can log in: what is left of them is their names.
    suffix, password = secrets.token_hex(4), secrets.token_urlsafe(24)
    roles = {f"smoke_{suffix}": "depositor", f"smoke_banker_{suffix}": "banker"}
    command = ("exec", "-i", DEPLOYMENT, "--", "transactions", "user")
    made: list[str] = []
    try:
        for name, role in roles.items():
            kubectl(*command, "create", name, role, given=f"{password}\n")
            made.append(name)
        depositor, banker = roles
        yield depositor, banker, password
    finally:
        for name in made:
            kubectl(*command, "revoke", name, roles[name])


def _show(kubectl: Kubectl, *arguments: str) -> None:
    try:
        kubectl(*arguments)
    except Failed as failed:
        say(f"({failed})")


def say(text: str) -> None:
    """On standard error, between what kubectl says."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Exit status 1: nothing changed, or what changed was taken back."""
    parser = argparse.ArgumentParser(prog="python3 -m infra.rollout", description=__doc__)
    parser.add_argument("overlay", metavar="OVERLAY", type=Path, help="infra/kubernetes/overlays/aws")
    parser.add_argument("--namespace", default="transactions")
    parser.add_argument("--smoke", metavar="URL", help="https://api.DOMAIN: test it afterwards, from here")
    parser.add_argument("--grpc", metavar="HOST:PORT", help="grpc.DOMAIN:443, for --smoke")
    parser.add_argument(
        "--transactions", default="transactions", help="the command, for --smoke (default: that)"
    )
    options = parser.parse_args()
    if bool(options.smoke) != bool(options.grpc):
        parser.error("--smoke and --grpc go together")
    kubectl = Kubectl(options.namespace)

    def smoke() -> None:
        if options.smoke:
            smoke_test(kubectl, shlex.split(options.transactions), options.smoke, options.grpc)

    try:
        roll_out(options.overlay, kubectl, smoke)
    except Failed as failed:
        say(f"error: {failed}")
        return 1
    say("rolled out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
