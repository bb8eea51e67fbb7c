"""The units of one server: systemd's own judgement; that they start what the image does, as nobody, and drain it."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from infra.checks import variables
from infra.checks.tools import NotChecked, run

FOLDER = "infra/systemd"
SERVICE, MIGRATE = "transactions.service", "transactions-migrate.service"
COMMANDS = {
    SERVICE: "/opt/transactions/bin/transactions serve",
    MIGRATE: "/opt/transactions/bin/transactions migrate up",
}
"""What each starts; the environment is where the Dockerfile makes it."""
EXPOSURE_MAX = 20
"""As `systemd-analyze security` counts, in tenths; what runs as root with no protection has 96."""
MUST = {"DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "CapabilityBoundingSet": ""}
STOP = {"KillSignal": "SIGTERM", "KillMode": "mixed", "Restart": "on-failure", "RestartPreventExitStatus": "2"}


class Unit:
    """A unit file's settings, each with all its values; the section is not looked at, as no name is in two."""

    def __init__(self, path: Path) -> None:
        self.values: dict[str, list[str]] = defaultdict(list)
        for line in path.read_text().splitlines():
            name, found, value = line.partition("=")
            if found and not line.startswith(("#", ";")):
                self.values[name.strip()].append(value.strip())

    def __call__(self, name: str) -> str | None:
        """The value that counts, of a setting of which only the last does."""
        values = self.values.get(name)
        return values[-1] if values else None

    @property
    def environment(self) -> dict[str, str]:
        """Of all `Environment` lines."""
        words = [word for line in self.values.get("Environment", []) for word in line.split()]
        return {name: value for name, _, value in (word.partition("=") for word in words)}


def check(root: Path) -> list[str]:
    """What is wrong; raises NotChecked, where nothing is, without systemd-analyze."""
    folder = root / FOLDER
    units = {name: Unit(folder / name) for name in COMMANDS}
    problems = [f"{FOLDER}/{name}: {each}" for name, unit in units.items() for each in _wrong(root, name, unit)]
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        if problems:
            return problems
        raise NotChecked("no systemd-analyze on this machine (our own checks found nothing)")
    return problems + list(_analyzed(folder, Path(analyze)))


def _wrong(root: Path, name: str, unit: Unit) -> Iterator[str]:
    if unit.values.get("ExecStart") != [COMMANDS[name]]:
        yield f"ExecStart must be {COMMANDS[name]}"
    for key, value in MUST.items() | (STOP.items() if name == SERVICE else ()):
        if unit(key) != value:
            yield f"{key}={unit(key)}: must be {value or 'empty'}"
    if unit("User") != "transactions":
        yield f"User={unit('User')}: must be transactions, whose state it is"
    for each in variables.strange(root, set(unit.environment)):
        yield f"Environment={each}: no variable of the service's"
    if unit("EnvironmentFile") is None:
        yield "EnvironmentFile: missing, and secrets do not belong here"
    if name == SERVICE:
        yield from _grace(root, unit)


def _grace(root: Path, unit: Unit) -> Iterator[str]:
    grace = unit.environment.get("SHUTDOWN_GRACE", variables.known(root)["SHUTDOWN_GRACE"])
    if variables.seconds(unit("TimeoutStopSec") or "") <= variables.seconds(grace):
        yield f"TimeoutStopSec={unit('TimeoutStopSec')}: must be above SHUTDOWN_GRACE, {grace}"
    if MIGRATE not in (unit("Requires") or "") or MIGRATE not in " ".join(unit.values["After"]):
        yield f"must require {MIGRATE}, and start after it"


def _analyzed(folder: Path, analyze: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name:
        copies = Path(name)
        for unit in COMMANDS:  # the commands' program is not on this machine; one that is stands for it
            text = (folder / unit).read_text()
            (copies / unit).write_text(re.sub(r"(?m)^(ExecStart)=/\S+", r"\1=/bin/true", text))
        done = run([analyze, "verify", "--man=no", *(f"./{unit}" for unit in COMMANDS)], cwd=copies)
        told = (done.stdout + done.stderr).splitlines()  # what is misspelt is a warning, and status 0
        for line in told or (["systemd-analyze verify fails, and does not say why"] if done.returncode else []):
            yield line.replace(str(copies), FOLDER).replace(f"{FOLDER}/./", f"{FOLDER}/")
        for unit in COMMANDS:
            options = ["--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager"]
            done = run([analyze, "security", *options, f"./{unit}"], cwd=copies)
            if done.returncode:
                *_, last = (done.stdout + done.stderr).strip().splitlines() or [""]
                yield f"{FOLDER}/{unit}: {last.strip('→ ')} (at most {EXPOSURE_MAX / 10:.1f})"
