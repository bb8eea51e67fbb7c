"""What was released stays: the .proto files against `proto/released.binpb`, their descriptors at the last release.

buf knows what breaks clients in messages, fields and methods. Where HTTP finds a method is compared here. A release
is `python -m infra.released --update`, which `make release` runs: what is served now may not be taken back later.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from infra.protogen import DESCRIPTORS, ROOT

RELEASED = "released.binpb"
TIMEOUT_S = 60
BROKEN = 100
"""buf's exit status where something breaks; any other one is buf's own failure."""
BUF = Path(sys.executable).with_name("buf")  # from its wheel, beside our own interpreter
HTTP: Any = annotations_pb2.http


def breaking(current: Path, released: Path) -> list[str]:
    """Every change that breaks a client of what was released, in words."""
    done = subprocess.run(  # noqa: S603 - the command is ours
        [str(BUF), "breaking", str(current), "--against", str(released), "--config", str(ROOT / "buf.yaml")],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode not in (0, BROKEN):
        raise SystemExit(f"buf failed: {done.stderr}")
    served = _bindings(current)
    moved: list[str] = [
        f"{method} is no longer where it was over HTTP"
        for method, bindings in _bindings(released).items()
        if not bindings <= served.get(method, set())
    ]
    return done.stdout.splitlines() + moved


def _bindings(descriptors: Path) -> dict[str, set[bytes]]:
    files = FileDescriptorSet.FromString(descriptors.read_bytes()).file
    return {
        f"{file.package}.{service.name}.{method.name}": set(_rules(method.options.Extensions[HTTP]))
        for file in files
        for service in file.service
        for method in service.method
    }


def _rules(rule: http_pb2.HttpRule) -> Iterator[bytes]:
    for each in (rule, *rule.additional_bindings):
        alone = http_pb2.HttpRule()
        alone.CopyFrom(each)
        alone.ClearField("additional_bindings")
        yield alone.SerializeToString()


def main() -> int:
    """Fail where a released thing would break; with --update take what is there now as released."""
    current, released = ROOT / DESCRIPTORS, ROOT / RELEASED
    broken = breaking(current, released)
    for each in broken:
        print(each)
    if sys.argv[1:] == ["--update"] and not broken:
        shutil.copyfile(current, released)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
