"""The judge of the units: planted errors are found, and a machine without systemd says so."""

from __future__ import annotations

import shutil

import pytest

from infra.checks import systemd
from infra.checks.tools import NotChecked
from tests.support.service import ROOT

HAS_SYSTEMD = shutil.which("systemd-analyze") is not None


@pytest.fixture
def checkout(tmp_path):
    """What the check reads of ours."""
    shutil.copytree(ROOT / systemd.FOLDER, tmp_path / systemd.FOLDER)
    (tmp_path / "cli").mkdir()
    shutil.copy(ROOT / "cli/settings.py", tmp_path / "cli")
    return tmp_path


def plant(root, name: str, old: str, new: str) -> None:
    path = root / systemd.FOLDER / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def found(root) -> list[str]:
    try:
        return systemd.check(root)
    except NotChecked:
        assert not HAS_SYSTEMD
        return []


def test_ours_are_well(checkout):
    assert found(checkout) == []


ERRORS = {
    "a root service": (systemd.SERVICE, "DynamicUser=yes\n", "", "DynamicUser=None"),
    "root by name": (systemd.SERVICE, "User=transactions", "User=root", "User=root"),
    "migrations as root": (systemd.MIGRATE, "DynamicUser=yes", "DynamicUser=no", "DynamicUser=no"),
    "killed before it has drained": (systemd.SERVICE, "TimeoutStopSec=30", "TimeoutStopSec=25", "above SHUTDOWN_GRACE"),
    "a longer grace": (systemd.SERVICE, "SHUTDOWN_GRACE=25s", "SHUTDOWN_GRACE=1m", "above SHUTDOWN_GRACE"),
    "another signal": (systemd.SERVICE, "KillSignal=SIGTERM", "KillSignal=SIGKILL", "KillSignal=SIGKILL"),
    "another command": (systemd.SERVICE, "transactions serve", "transactions server", "ExecStart must be"),
    "a misspelt variable": (systemd.SERVICE, "=VAR_DIR=", "=VARDIR=", "Environment=VARDIR"),
    "no migrations before": (systemd.SERVICE, f"After={systemd.MIGRATE}\n", "", "start after it"),
}  # fmt: skip


@pytest.mark.parametrize("error", ERRORS)
def test_a_planted_error_is_found(error, checkout):
    name, old, new, problem = ERRORS[error]
    plant(checkout, name, old, new)
    assert any(problem in each and name in each for each in systemd.check(checkout))


SYSTEMDS = {
    "a misspelt setting": ("ProtectHome=", "ProtectHomes=", "ProtectHomes"),
    "what it can not read": ("RestartSec=1", "RestartSec=soon", "Failed to parse sec value"),
    "a unit that is not there": ("Requires=", "Requires=another.service ", "another.service"),
    "no protection": ("SystemCallFilter=@system-service\n", "", "exposure level"),
}


@pytest.mark.parametrize("error", SYSTEMDS)
def test_systemd_is_asked_where_it_is(error, checkout):
    old, new, problem = SYSTEMDS[error]
    plant(checkout, systemd.SERVICE, old, new)
    assert not HAS_SYSTEMD or any(problem in each for each in systemd.check(checkout))


def test_a_machine_without_systemd_says_so_and_still_finds_what_is_ours_to_find(checkout, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(NotChecked, match="no systemd-analyze"):
        systemd.check(checkout)
    plant(checkout, systemd.SERVICE, "User=transactions", "User=root")
    assert [each for each in systemd.check(checkout) if "User=root" in each]
