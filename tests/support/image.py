"""The image without an engine: the Dockerfile's own instructions, carried out in a folder that stands for its root.

Every stage begins with an empty root; one Python environment stands for the base image of all. What is copied is what
.dockerignore lets through. What is made can be run as the image's user, and can not be written to.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from string import Template

from infra.checks import dockerfile

OF_THE_MACHINE = re.compile("(PIP_|SSL_CERT_).*|(http|https|no)_proxy", re.IGNORECASE)
"""What a build needs to know of its environment to reach the index."""
_PATH = re.compile(r"(?:^|(?<=[\s=:]))/(?=[a-z])")


class Replay:
    """The image made from `context`, in `folder`, where everybody may read; `root` is what its last stage holds."""

    def __init__(self, folder: Path, context: Path) -> None:
        self.root = folder / "root"
        self._folder = folder
        self._context = context
        self._ignored = dockerfile.Ignored((context / ".dockerignore").read_text())
        self.environment: dict[str, str] = {}
        self._base = folder / "base"
        subprocess.run([python_for_everybody(), "-m", "venv", self._base], check=True)
        for stage in dockerfile.read(context / "Dockerfile"):
            self.stage = stage
            self._start()
            for instruction in stage.instructions:
                carry_out = getattr(self, f"_{instruction.word.lower()}", None)
                if carry_out is not None:
                    carry_out(instruction)
            if stage.name:
                self.epoch = self.environment["SOURCE_DATE_EPOCH"]
                self.built = folder / stage.name / self._work.relative_to(self.root)
                self.root.rename(folder / stage.name)
        self.user = (self.stage.last("USER") or Nothing).text.partition(":")[0]
        self.state = Path(self.environment["VAR_DIR"])
        self._seal(0o555)

    def command(self, *arguments: str) -> list[str]:
        """The entry point with these arguments, or else with the image's own; as the image's user if we are root."""
        entry, default = self.stage.last("ENTRYPOINT"), self.stage.last("CMD")
        return [*self.unprivileged(), *entry.words, *(arguments or default.words)]

    def unprivileged(self) -> list[str]:
        """What comes before a command that has to do without root, groups and capabilities."""
        if os.geteuid():
            return []
        user = [f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"]
        return ["setpriv", *user, "--bounding-set=-all", "--no-new-privs"]

    def health_command(self) -> list[str]:
        """What the engine would run in the container."""
        _, words = self.stage.last("HEALTHCHECK").text.split("CMD ", 1)
        return [*self.unprivileged(), *dockerfile.Instruction(0, "CMD", {}, words).words]

    def tool(self, name: str) -> str:
        """A program of what stands for the base image, as the stages have left it."""
        return str(self._base / "bin" / name)

    def path(self, text: str) -> str:
        """Absolute paths of the image, as they are here."""
        return _PATH.sub(f"{self.root}/", text)

    def remove(self) -> None:
        """All of it."""
        self._seal(0o755)
        shutil.rmtree(self._folder)

    def _start(self) -> None:
        self.root.mkdir()
        kept = {name: value for name, value in os.environ.items() if OF_THE_MACHINE.fullmatch(name)}
        path = f"{self._base}/bin:/usr/bin:/bin"
        self.environment = {**kept, "PATH": path, "HOME": str(self._folder), "LANG": "C.UTF-8"}
        self._work = self.root

    def _workdir(self, instruction: dockerfile.Instruction) -> None:
        self._work = Path(self.path(instruction.text))
        self._work.mkdir(parents=True, exist_ok=True)

    def _arg(self, instruction: dockerfile.Instruction) -> None:
        self._env(instruction)

    def _env(self, instruction: dockerfile.Instruction) -> None:
        for word in shlex.split(instruction.text):
            name, _, value = word.partition("=")
            self.environment[name] = Template(self.path(value)).safe_substitute(self.environment)

    def _run(self, instruction: dockerfile.Instruction) -> None:
        command = ["sh", "-ec", self.path(instruction.text)]
        done = subprocess.run(
            command, cwd=self._work, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"Dockerfile:{instruction.line}: {done.stderr}"

    def _copy(self, instruction: dockerfile.Instruction) -> None:
        *sources, target = instruction.words
        to = self._work / self.path(target)
        for source in sources:
            stage = instruction.options.get("from")
            path = self._context / source if stage is None else self._folder / stage / source.lstrip("/")
            if path.is_dir():
                shutil.copytree(path, to, symlinks=True, ignore=self._left_out if stage is None else None)
            else:
                assert stage or not self._ignored(source), f"{source} is in .dockerignore"
                (to if target.endswith("/") else to.parent).mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, to)
        if "chown" in instruction.options and not os.geteuid():
            user, group = map(int, instruction.options["chown"].split(":"))
            os.chown(to, user, group)

    def _left_out(self, folder: str, names: list[str]) -> set[str]:
        inside = Path(folder).relative_to(self._context)
        return {name for name in names if self._ignored(str(inside / name))}

    def _seal(self, mode: int) -> None:
        for folder, _, names in os.walk(self.root):
            if Path(folder) != self.state:
                Path(folder).chmod(mode)
            for path in (Path(folder, name) for name in names if not mode & stat.S_IWUSR):
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode & mode)


Nothing = dockerfile.Instruction(0, "", {}, "")


def python_for_everybody() -> str:
    """A Python that the image's user may run too: where we are root, ours may be in root's own home."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    found = [os.path.realpath(sys.executable), shutil.which(version, path="/usr/local/bin:/usr/bin")]
    for each in found:
        if each and (
            os.geteuid() or all(folder.stat().st_mode & stat.S_IXOTH for folder in Path(each).parents)
        ):
            return each
    raise AssertionError(f"no Python that others than root may run: {found}")
