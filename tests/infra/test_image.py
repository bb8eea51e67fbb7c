"""The judge of the image: planted errors are found, and said where."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from infra.checks import dockerfile, image
from infra.checks.dockerfile import Ignored
from tests.support.service import ROOT

FILES = ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE")
LOCKS = ("requirements.lock", "requirements-service.lock", "requirements-build.lock")
PACKAGES = (
    "domain", "persistence", "actors", "application", "transport", "cli", "proto", "migrations", "infra",
)  # fmt: skip


@pytest.fixture
def checkout(tmp_path):
    """What the check reads of ours."""
    for name in FILES + LOCKS:
        shutil.copy(ROOT / name, tmp_path / name)
    for name in PACKAGES:
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def plant(root, file: str, *changes: tuple[str, str]) -> None:
    text = (root / file).read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    (root / file).write_text(text)


def test_ours_is_well(checkout):
    assert image.check(checkout) == []


ERRORS = {
    "a root container": ("Dockerfile", "USER 10001:10001", "USER root", "runs as root"),
    "root by number": ("Dockerfile", "USER 10001:10001", "USER 0:0", "runs as 0:0"),
    "nobody is named": ("Dockerfile", "USER 10001:10001\n", "", "runs as root"),
    "a base that moves": ("Dockerfile", "@sha256:a36c24f9", "#", "not pinned by its digest"),
    "another base": ("Dockerfile", "\nFROM ${PYTHON_IMAGE}\n", "\nFROM python:latest\n", "must be from"),
    "a shell in front": ("Dockerfile", '["transactions"]\nCMD', "transactions\nCMD", "ENTRYPOINT must be a list"),
    "another signal": ("Dockerfile", "STOPSIGNAL SIGTERM", "STOPSIGNAL SIGKILL", "STOPSIGNAL must be"),
    "a folder that is left out": ("Dockerfile", "COPY actors actors\n", "", "imports actors."),
    "a module that is left out": ("Dockerfile", "COPY infra/local infra/local\n", "", "imports infra.local."),
    "a folder that is not there": ("Dockerfile", "COPY actors actors", "COPY actor actors", "actor: no such file"),
    "kept from the build": (".dockerignore", "!domain\n", "", "domain: .dockerignore keeps it"),
    "the tree copied into the end": ("Dockerfile", "USER 1", "COPY . /opt\nUSER 1", "from the build stage alone"),
    "a misspelt variable": ("Dockerfile", "VAR_DIR=", "VAR_DIRECTORY=", "VAR_DIRECTORY: no variable"),
    "a port nobody listens on": ("Dockerfile", "EXPOSE 8080 9090", "EXPOSE 8080 9091", "exposes 8080, 9091"),
    "a package from apt, unpinned": (
        "Dockerfile", "WORKDIR /build\n", "WORKDIR /build\nRUN apt-get update && apt-get install -y gcc\n", "DL3008",
    ),
    "what is not tested": ("requirements-service.lock", "\nh2==4", "\nh2==3", "which is tested, has 4"),
}  # fmt: skip


@pytest.mark.parametrize("error", ERRORS)
def test_a_planted_error_is_found(error, checkout, monkeypatch):
    file, old, new, problem = ERRORS[error]
    plant(checkout, file, (old, new))
    monkeypatch.setattr(image.policies, "broken", lambda *_: [])  # takes seconds, and has its test below
    found = image.check(checkout)
    assert any(problem in each for each in found), found


def test_make_infra_fails_for_a_root_container(checkout):
    plant(checkout, "Dockerfile", ("USER 10001:10001\n", ""))
    command = [sys.executable, "-m", "infra.checks", "image", "--root", str(checkout)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "runs as root" in done.stderr
    assert "CKV_DOCKER_3" in done.stderr  # checkov is asked too


def test_the_build_tools_and_the_embedded_servers_stay_out(checkout, monkeypatch):
    lock = checkout / "requirements-service.lock"
    lock.write_text(lock.read_text() + "hatchling==1.33.0 \\\n")
    monkeypatch.setattr(image.policies, "broken", lambda *_: [])
    assert any("hatchling is not for the image" in each for each in image.check(checkout))


@pytest.mark.parametrize(
    ("path", "kept_out"),
    [
        ("cli", False), ("cli/main.py", False), ("cli/__pycache__", True), ("cli/a.pyc", True),
        ("infra/local", False), ("infra/local/redis.py", False), ("infra/checks", True), ("infra/aws/main.tf", True),
        (".env", True), ("var/token-symmetric-key", True), ("tests/conftest.py", True), (".git/config", True),
    ],
)  # fmt: skip
def test_nothing_but_the_service_gets_into_the_build(path, kept_out):
    assert Ignored((ROOT / ".dockerignore").read_text())(path) is kept_out


def test_a_dockerfile_is_read_instruction_by_instruction(tmp_path):
    (tmp_path / "Dockerfile").write_text(
        "ARG A=b\nFROM one AS first\n# word\nRUN a \\\n  # said in between\n  && b\n"
        'FROM two\nCOPY --from=first --chown=1:2 /a /b\nCMD ["x", "y"]\nCMD z\n'
    )
    first, second = dockerfile.read(tmp_path / "Dockerfile")
    assert (first.base, first.name, [each.text for each in first.of("RUN")]) == ("one", "first", ["a && b"])
    (copy,) = second.of("COPY")
    assert (copy.options, copy.words, copy.line) == ({"from": "first", "chown": "1:2"}, ["/a", "/b"], 8)
    assert [each.words for each in second.of("CMD")] == [["x", "y"], ["z"]]
    assert second.last("CMD").text == "z"
