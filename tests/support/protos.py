"""Messages and services for one test: .proto source in, classes and descriptors of a pool of their own out."""

from __future__ import annotations

import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from grpc_tools import protoc

HEAD = """
syntax = "proto3";
package example;
"""
IMPORTS = {
    "google.api.http": "google/api/annotations",
    "google.protobuf.Duration": "google/protobuf/duration",
    "google.protobuf.FieldMask": "google/protobuf/field_mask",
    "google.protobuf.Struct": "google/protobuf/struct",
    "google.protobuf.Timestamp": "google/protobuf/timestamp",
    "google.protobuf.Int64Value": "google/protobuf/wrappers",
}

assert annotations_pb2  # what reads the annotations


class Protos:
    """What a file declares in the package `example`."""

    def __init__(self, source: str) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        imports = [f'import "{file}.proto";' for word, file in IMPORTS.items() if word in source]
        for file in _compiled(HEAD + "\n".join(imports) + source).file:
            self._pool.Add(file)

    def message(self, name: str, **fields: Any) -> Any:
        """A message."""
        return self.type(name)(**fields)

    def type(self, name: str) -> Any:
        """The class of a message."""
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(f"example.{name}"))

    def service(self, name: str) -> Any:
        """A service."""
        return self._pool.FindServiceByName(f"example.{name}")

    def methods(self, service: str) -> Iterator[tuple[MethodDescriptor, Any]]:
        """The methods of a service, each with the class of its request."""
        for method in self.service(service).methods:
            yield method, message_factory.GetMessageClass(method.input_type)


def _compiled(source: str) -> descriptor_pb2.FileDescriptorSet:
    includes = [Path(protoc.__file__).parent / "_proto", Path(sysconfig.get_path("purelib"))]
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "example.proto", Path(folder) / "out"
        path.write_text(source)
        arguments = [f"-I{each}" for each in (folder, *includes)]
        status = protoc.main(
            ["protoc", *arguments, "--include_imports", f"--descriptor_set_out={out}", str(path)]
        )
        assert status == 0, source
        return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
