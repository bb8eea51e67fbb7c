"""Terraform, offline: where its binary and the providers' mirror are on this machine, and what it says of a folder.

Providers are looked for in this order: the folder that `TF_PLUGIN_MIRROR` names (one that `terraform providers mirror`
has filled); the folders in which Terraform itself looks for a mirror; what Terraform is configured to do (a
`provider_installation` of its CLI configuration); at last a mirror in one of the usual places for what is installed
by hand. Nothing is ever downloaded, except by a configuration that says so.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from infra.checks.tools import NotChecked, run

MIRROR = "TF_PLUGIN_MIRROR"
CONFIGURATION = "TF_CLI_CONFIG_FILE"
BY_HAND = ("/opt/*", "/usr/local/*", "/srv/*")
Diagnostic = dict[str, Any]


class Terraform:
    """Of one folder, with its own working files in another."""

    def __init__(self, folder: Path, work: Path, provider: str) -> None:
        """`provider` is its source address. Raises NotChecked where binary or provider are missing."""
        binary = shutil.which("terraform")
        if binary is None:
            raise NotChecked("there is no terraform on PATH")
        self._binary, self._folder = Path(binary), folder
        self._env = environment(work)
        self._init = _init_options(provider, self._env)

    def run(self, *arguments: str) -> CompletedProcess[str]:
        """One subcommand, without colours."""
        return run([self._binary, *arguments], cwd=self._folder, env=self._env)

    def init(self) -> list[str]:
        """The providers that the lock file names, and no backend; what is wrong, a line each."""
        done = self.run(
            "init", "-backend=false", "-lockfile=readonly", "-input=false", "-no-color", *self._init
        )
        return [f"terraform init: {line}" for line in error_lines(done.stderr)] if done.returncode else []

    def unformatted(self) -> list[str]:
        """The files that `terraform fmt` would change, or can not read."""
        done = self.run("fmt", "-check", "-recursive", "-list=true", "-no-color")
        return [*done.stdout.split(), *(f"terraform fmt: {line}" for line in error_lines(done.stderr))]

    def invalid(self) -> list[Diagnostic]:
        """What `terraform validate` says; empty when all references and types are right."""
        found: list[Diagnostic] = json.loads(self.run("validate", "-json").stdout)["diagnostics"]
        return found

    def failing(self) -> tuple[int, list[Diagnostic]]:
        """How many runs of `terraform test` passed, and what the others say."""
        events = [json.loads(line) for line in self.run("test", "-json").stdout.splitlines() if line]
        summary: dict[str, int] = next(
            (event["test_summary"] for event in events if event["type"] == "test_summary"), {}
        )
        return summary.get("passed", 0), [
            event["diagnostic"] for event in events if event["type"] == "diagnostic"
        ]


def environment(work: Path) -> dict[str, str]:
    """Its working files out of the tree, no telemetry, and no configuration that is not there."""
    env = {**os.environ, "TF_DATA_DIR": str(work), "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    if not Path(env.get(CONFIGURATION, "")).is_file():
        env.pop(CONFIGURATION, None)
    return env


def error_lines(stderr: str) -> list[str]:
    """Terraform's words, without the frame that it draws around them."""
    lines = (line.strip("╷│╵ ") for line in stderr.splitlines())
    return [line for line in lines if line]


def _init_options(provider: str, env: dict[str, str]) -> list[str]:
    for folder in _mirrors(env):
        if (folder / provider).is_dir():
            return [f"-plugin-dir={folder}"]
    if CONFIGURATION in env or (Path.home() / ".terraformrc").is_file():
        return []
    for pattern in BY_HAND:
        root, rest = Path(pattern).parent, Path(pattern).name
        for folder in sorted(root.glob(rest)):
            if (folder / provider).is_dir():
                return [f"-plugin-dir={folder}"]
    raise NotChecked(
        f"no mirror of {provider}: fill a folder by `terraform providers mirror`, name it in {MIRROR}"
    )


def _mirrors(env: dict[str, str]) -> Iterator[Path]:
    """https://developer.hashicorp.com/terraform/cli/config/config-file#implied-local-mirror-directories"""
    if named := env.get(MIRROR):
        yield Path(named)
    yield Path.home() / ".terraform.d" / "plugins"
    data = [env.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")]
    data += (env.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
    yield from (Path(folder) / "terraform" / "plugins" for folder in data)
