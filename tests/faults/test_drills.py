"""Every drill once, in short; and who judges the judge: a service with a defect must not pass."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.drill.command import DRILLS, carry_out
from cli.drill.installation import COMMAND, ROOT

SEED = 7
FOLDERS = (
    "domain", "persistence", "actors", "application", "transport", "cli", "proto", "migrations", "infra",
)  # fmt: skip


SECONDS = {"clock": 3, "disk": 4, "shutdown": 2}
MORE = {"shutdown": ["--variant", "all"]}


@pytest.mark.parametrize("name", DRILLS)
def test_a_drill_finds_every_promise_kept(name, tmp_path):
    drawn = tmp_path / "timeline.svg"
    seconds = str(SECONDS.get(name, 8))
    command = [*COMMAND, "drill", name, "--seed", str(SEED), "--seconds", seconds, *MORE.get(name, [])]
    command += ["--json", "--svg", str(drawn)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert (told["drill"], told["seed"], told["kept"]) == (name, SEED, True)
    assert len(told["verdicts"]) > 8
    assert drawn.read_text().startswith("<svg ")


TWICE = "message.state is not State.ANSWERED and "
MUTATIONS = {
    "rows are not locked": (
        "kill",
        {"no answer was `internal`"},
        {"persistence/ledger.py": [("order by id for update", "order by id")]},
    ),
    "keys are not remembered": (
        "network",
        {"no key moved money twice"},
        {
            "persistence/ledger.py": [
                ("if settlement.records:", "if settlement.records and not settlement.posted:")
            ]
        },
    ),
    "outcomes are told before the commit": (
        "postgres",
        # The lane that lost a commit commits again: what was told may be there in the end, but later.
        {"what was acknowledged is there", "every balance that was read was one"},
        {
            "actors/lane.py": [
                ("message.answer(outcome)", f"{TWICE}message.answer(outcome)"),
                ("message.fail(Unavailable(", f"{TWICE}message.fail(Unavailable("),
                (
                    "await ledger.post(connection, settlement)",
                    "[message.answer(each) for message, each in zip(messages, settlement.outcomes)"
                    " if message.state is not State.ANSWERED]; await ledger.post(connection, settlement)",
                ),
                ("import trio\n", "import trio\nfrom actors.message import State\n"),
            ]
        },
    ),
    "waiters are told each other's outcomes": (
        "kill",
        {"what was acknowledged is there"},
        {"actors/lane.py": [("settlement.outcomes, strict", "settlement.outcomes[::-1], strict")]},
    ),
    "mails are forgotten": (
        "shutdown",
        {"every mail that was promised was sent"},
        {"application/letters.py": [("await outbox.put(", "print(")]},
    ),
    "what the mail queue has lost is left there": (
        "redis",
        {"every mail that was promised was sent"},
        {"persistence/outbox.py": [("set relayed_at = null where", "set relayed_at = relayed_at where")]},
    ),
    "a drain is not announced": (
        "shutdown",
        {"/readyz says 503 within 100 ms"},
        {"cli/wiring.py": [("self.readiness.drain()", "pass")]},
    ),
}


def mutated(code: Path, changes: dict[str, list[tuple[str, str]]]) -> None:
    """A copy of the service in `code`, with defects."""
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, code / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, replacements in changes.items():
        text = (code / name).read_text()
        for old, new in replacements:
            assert old in text, (name, old)
            text = text.replace(old, new)
        (code / name).write_text(text)


@pytest.mark.parametrize("defect", MUTATIONS)
def test_a_drill_catches_a_service_with_a_defect(defect, tmp_path):
    name, promises, changes = MUTATIONS[defect]
    mutated(tmp_path, changes)
    verdicts, _ = carry_out(name, SEED, 5, tmp_path)
    broken = {verdict.promise: verdict.detail for verdict in verdicts if not verdict.kept}
    print(f"{defect}: {name}: {broken}")
    assert promises & broken.keys(), verdicts
