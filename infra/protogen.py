"""Regenerates what is made from the .proto files: `make proto`.

Beside each file its Python modules: message classes and type stubs come from protoc, servicers and stubs from
purerpc's plugin. protoc's Python imports follow the .proto paths, so generated imports are given the `proto.` prefix
of our source tree. Beside them all `descriptors.binpb`, which describes our own files with their comments.
"""

from __future__ import annotations

import re
import sys
import sysconfig
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
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
ROOT = Path(__file__).resolve().parent.parent / "proto"
SERVED = "transactions"
DESCRIPTORS = "descriptors.binpb"
OURS = re.compile(r"^(from|import) (buf|grpc|transactions)\.", re.MULTILINE)


def generate(root: Path, into: Path, scratch: Path) -> list[Path]:
    """Write all that is made from the .proto files under `root` to the same places under `into`; returns where."""
    plugin = scratch / "protoc-gen-purerpc"
    plugin.write_text(PLUGIN.format(python=sys.executable))
    plugin.chmod(0o755)
    sources = sorted(root.rglob("*.proto"))
    outputs = [f"--{kind}_out={into}" for kind in ("python", "pyi", "purerpc")]
    _protoc(root, [f"--plugin=protoc-gen-purerpc={plugin}", *outputs], sources)
    written = [into / DESCRIPTORS]
    describe(root, written[0])
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


def describe(root: Path, into: Path) -> None:
    """Write the descriptors of our own files under `root`, with their comments, and of what they import."""
    options = ["--include_imports", "--include_source_info", f"--descriptor_set_out={into}"]
    _protoc(root, options, sorted((root / SERVED).rglob("*.proto")))
    into.write_bytes(_documented(into.read_bytes()))


def _protoc(root: Path, options: list[str], sources: list[Path]) -> None:
    includes = [root, Path(protoc.__file__).parent / "_proto", Path(sysconfig.get_path("purelib"))]
    status = protoc.main(["protoc", *(f"-I{path}" for path in includes), *options, *map(str, sources)])
    if status != 0:
        raise SystemExit(f"protoc failed with status {status}")


def _documented(descriptors: bytes) -> bytes:
    """Of the source positions only our comments: the rest is five times as large as what it describes.

    Options are extensions; in a pool that has none they are written as they were read, whatever else is imported.
    """
    pool = DescriptorPool()
    pool.AddSerializedFile(descriptor_pb2.DESCRIPTOR.serialized_pb)
    files = GetMessageClass(pool.FindMessageTypeByName("google.protobuf.FileDescriptorSet")).FromString(
        descriptors
    )
    for file in files.file:
        ours = file.source_code_info.location if file.name.startswith(SERVED) else ()
        commented = [each for each in ours if each.leading_comments or each.trailing_comments]
        file.source_code_info.ClearField("location")
        file.source_code_info.location.extend(commented)
    return files.SerializeToString(deterministic=True)


def main() -> int:
    """Regenerate in place; with --check write nothing, and fail where a file is not what it should be."""
    check = sys.argv[1:] == ["--check"]
    with tempfile.TemporaryDirectory() as scratch:
        into = Path(scratch) / "generated"
        into.mkdir()
        stale = []
        for path in generate(ROOT, into, Path(scratch)):
            target = ROOT / path.relative_to(into)
            if target.exists() and target.read_bytes() == path.read_bytes():
                continue
            stale.append(str(target.relative_to(ROOT.parent)))
            if not check:
                target.write_bytes(path.read_bytes())
    for name in stale:
        print(f"{name}: {'is stale, run make proto' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
