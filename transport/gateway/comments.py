"""The comments of the .proto files, which are the API's documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

DESCRIPTORS = "descriptors.binpb"


def read_comments() -> Mapping[str, str]:
    """By the full name of a service, method, message or field: paragraphs, a blank line between two."""
    described = FileDescriptorSet.FromString((files("proto") / DESCRIPTORS).read_bytes())
    return dict(comment for file in described.file for comment in _comments(file))


def first_sentence(comment: str) -> str:
    """What a list of things says of one of them."""
    return re.split(r"\.(?:\s|$)", comment, maxsplit=1)[0]


def _comments(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    for location in file.source_code_info.location:
        name = _name(file, location.path)
        if name is not None:
            yield f"{file.package}.{name}", _text(location.leading_comments)


def _name(file: FileDescriptorProto, path: Sequence[int]) -> str | None:
    """What a path is about: numbers of fields of FileDescriptorProto, and positions in them."""
    match list(path):
        case [4, message]:
            return file.message_type[message].name
        case [4, message, 2, field]:
            return f"{file.message_type[message].name}.{file.message_type[message].field[field].name}"
        case [6, service]:
            return file.service[service].name
        case [6, service, 2, method]:
            return f"{file.service[service].name}.{file.service[service].method[method].name}"
    return None


def _text(comment: str) -> str:
    paragraphs = re.split(r"\n\s*\n", comment.strip())
    return "\n\n".join(" ".join(line.strip() for line in each.splitlines()) for each in paragraphs)
