"""Regenerates the Python modules beside every .proto file: `make proto`.

Message classes and type stubs come from protoc, servicers and stubs from purerpc's plugin. protoc's Python
imports follow the .proto paths, so generated imports are given the `proto.` prefix of our source tree.
"""

from __future__ import annotations

import re
import sys
import sysconfig
import tempfile
from pathlib import Path

from grpc_tools import protoc

# purerpc 0.8 names an event that h2 4 renamed; the plugin imports all of purerpc (docs/decisions/0003).
# Optional fields are nothing to it, so it may say that it knows them: protobuf messages merge when appended.
PLUGIN = """#!{python}
import sys
import h2.events
h2.events.PingAcknowledged = h2.events.PingAckReceived
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorResponse
from purerpc.protoc_plugin.plugin import main
main()
known = CodeGeneratorResponse(supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL)
sys.stdout.buffer.write(known.SerializeToString())
"""
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_grpc.py")
OURS = re.compile(r"^(from|import) (transactions|grpc)\.", re.MULTILINE)


def generate(root: Path, into: Path, scratch: Path) -> list[Path]:
    """Write the modules of every .proto under `root` to the same places under `into`; returns their paths."""
    plugin = scratch / "protoc-gen-purerpc"
    plugin.write_text(PLUGIN.format(python=sys.executable))
    plugin.chmod(0o755)
    sources = sorted(root.rglob("*.proto"))
    includes = [root, Path(protoc.__file__).parent / "_proto", Path(sysconfig.get_path("purelib"))]
    status = protoc.main(
        [
            "protoc",
            *(f"-I{path}" for path in includes),
            f"--python_out={into}",
            f"--pyi_out={into}",
            f"--plugin=protoc-gen-purerpc={plugin}",
            f"--purerpc_out={into}",
            *(str(path) for path in sources),
        ]
    )
    if status != 0:
        raise SystemExit(f"protoc failed with status {status}")
    written = []
    for source in sources:
        for suffix in SUFFIXES:
            path = into / source.relative_to(root).with_name(source.stem + suffix)
            text = OURS.sub(r"\1 proto.\2.", path.read_text())
            if suffix == "_grpc.py" and "Servicer" not in text:  # a file of messages only
                path.unlink()
                continue
            path.write_text(text)
            written.append(path)
    return written


def main() -> int:
    """Regenerate in place; with --check write nothing, and fail where a module is not what it should be."""
    root = Path(__file__).resolve().parent.parent / "proto"
    check = sys.argv[1:] == ["--check"]
    with tempfile.TemporaryDirectory() as scratch:
        into = Path(scratch) / "generated"
        into.mkdir()
        stale = []
        for path in generate(root, into, Path(scratch)):
            target = root / path.relative_to(into)
            if target.exists() and target.read_text() == path.read_text():
                continue
            stale.append(str(target.relative_to(root.parent)))
            if not check:
                target.write_text(path.read_text())
    for name in stale:
        print(f"{name}: {'is stale, run make proto' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
