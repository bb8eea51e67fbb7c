"""Protobuf messages as JSON: https://protobuf.dev/programming-guides/json/.

Written by `google.protobuf.json_format`. Read by ourselves, for that accepts more than can be meant (a field under
both its names, `true` for an enum, any character for base64) and does not say where it found what it refuses. Only
types with a JSON of their own, such as Timestamp, are its to read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from domain.errors import InvalidArgument
from transport.gateway import scalars
from transport.gateway.json_text import Object

NESTING_MAX = 64
"""Messages within messages."""
NAME_SHOWN = 100
"""Characters that a client is told of a name that it sent itself."""

_SPELLINGS = {
    "Timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)",
    "Duration": r"-?\d{1,12}(?:\.\d{1,9})?s",
    "FieldMask": r"[A-Za-z0-9.,]*",
}
SPELLED = {f"google.protobuf.{name}": re.compile(text, re.ASCII) for name, text in _SPELLINGS.items()}
"""Types that are a string in JSON, and what it looks like."""
_FREE_FORM = {f"google.protobuf.{name}" for name in ("Any", "Struct", "Value", "ListValue")}

encode = msgspec.json.Encoder().encode


def document_of(message: Message) -> dict[str, Any]:
    """A message as JSON, with every field that cannot be absent."""
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=True)


@cache
def fields_of(kind: Descriptor) -> Mapping[str, FieldDescriptor]:
    """The fields of a message by both their names."""
    return {field.name: field for field in kind.fields} | {field.json_name: field for field in kind.fields}


def is_wrapper(kind: Descriptor) -> bool:
    """Whether it is a scalar that can be absent: Int64Value and so on."""
    return kind.file.name == "google/protobuf/wrappers.proto"


def read(value: Any, message: Message, where: str = "", depth: int = NESTING_MAX) -> None:
    """Set what JSON says of a message; raises InvalidArgument. `where` is the field that it is the value of."""
    kind: Any = message.DESCRIPTOR
    if depth == 0:
        raise wrong(where, "is nested too deeply")
    if kind.full_name in SPELLED:
        read_spelled(value, message, where)
    elif kind.full_name in _FREE_FORM:
        _read_free_form(value, message, where, depth)
    elif is_wrapper(kind):
        read_field(value, message, kind.fields_by_name["value"], where, depth)
    else:
        _read_fields(value, message, where, depth)


def read_field(
    value: Any, message: Message, field: FieldDescriptor, where: str, depth: int = NESTING_MAX
) -> None:
    """Set what JSON says of one field; raises InvalidArgument."""
    if not field.is_repeated:
        if field.message_type is None:
            setattr(message, field.name, _scalar(value, field, where))
            return
        inner = getattr(message, field.name)
        inner.SetInParent()
        read(value, inner, where, depth - 1)
    elif _is_map(field):
        _read_map(value, getattr(message, field.name), field, where, depth)
    else:
        _read_list(value, getattr(message, field.name), field, where, depth)


def read_spelled(value: Any, message: Message, where: str) -> None:
    """Set a message that is a string in JSON; raises InvalidArgument."""
    name = message.DESCRIPTOR.full_name
    if not isinstance(value, str) or not SPELLED[name].fullmatch(value):
        raise wrong(where, f"must be a {name} as JSON spells it")
    try:
        json_format.Parse(encode(value), message)
    except json_format.ParseError:
        raise wrong(where, f"must be a {name}") from None


def choose(message: Message, field: FieldDescriptor, where: str) -> None:
    """Raise InvalidArgument where another field of the same oneof is set."""
    oneof = field.containing_oneof
    chosen = oneof and message.WhichOneof(oneof.name)
    if chosen and chosen != field.name:
        raise wrong(where, f"must not be given together with {chosen}")


def wrong(where: str, problem: str) -> InvalidArgument:
    """What is wrong with a field, or with the whole of the body."""
    return InvalidArgument.field(where, problem) if where else InvalidArgument(f"the body {problem}")


def unknown(name: str, where: str) -> InvalidArgument:
    """A field that is none; of a long name no more than its beginning is told."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return wrong(where, "has a field whose name is no valid Unicode")
    shown = name[:NAME_SHOWN]
    return wrong(f"{where}.{shown}" if where else shown, "is not a field of this request")


def _read_fields(value: Any, message: Message, where: str, depth: int) -> None:
    if not isinstance(value, Object):
        raise wrong(where, "must be a JSON object")
    fields = fields_of(message.DESCRIPTOR)
    seen: set[int] = set()
    for name, each in value:
        field = fields.get(name)
        if field is None:
            raise unknown(name, where)
        here = f"{where}.{field.name}" if where else field.name
        if field.number in seen:
            raise wrong(here, "appears twice")
        seen.add(field.number)
        if each is None and not _takes_null(field):
            continue
        choose(message, field, here)
        read_field(each, message, field, here, depth)


def _read_list(value: Any, items: Any, field: FieldDescriptor, where: str, depth: int) -> None:
    if not isinstance(value, list):
        raise wrong(where, "must be a list")
    for position, each in enumerate(value):
        here = f"{where}[{position}]"
        if field.message_type is None:
            items.append(_scalar(each, field, here))
        else:
            read(each, items.add(), here, depth - 1)


def _read_map(value: Any, items: Any, field: FieldDescriptor, where: str, depth: int) -> None:
    assert field.message_type is not None
    keys, values = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    if not isinstance(value, Object):
        raise wrong(where, "must be a JSON object")
    for name, each in value:
        try:
            key = scalars.from_text(keys, name)
        except ValueError as error:
            raise wrong(where, f"has a key that {error}") from None
        here = f"{where}[{name[:NAME_SHOWN]}]"
        if key in items:
            raise wrong(here, "appears twice")
        if values.message_type is None:
            items[key] = _scalar(each, values, here)
        else:
            read(each, items[key], here, depth - 1)


def _read_free_form(value: Any, message: Message, where: str, depth: int) -> None:
    try:
        json_format.Parse(encode(_plain(value, where, depth)), message, max_recursion_depth=2 * NESTING_MAX)
    except (json_format.ParseError, UnicodeEncodeError):
        raise wrong(where, f"must be a {message.DESCRIPTOR.full_name}") from None


def _plain(value: Any, where: str, depth: int) -> Any:
    if depth == 0:
        raise wrong(where, "is nested too deeply")
    if isinstance(value, Object):
        members = {name: _plain(each, where, depth - 1) for name, each in value}
        if len(members) != len(value):
            raise wrong(where, "has a name that appears twice")
        return members
    if isinstance(value, list):
        return [_plain(each, where, depth - 1) for each in value]
    if not isinstance(value, Decimal):
        return value
    if not math.isfinite(number := float(value)):
        raise wrong(where, "has too large a number")
    return number


def _scalar(value: Any, field: FieldDescriptor, where: str) -> Any:
    try:
        return scalars.from_json(field, value)
    except ValueError as error:
        raise wrong(where, str(error)) from None


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _takes_null(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and kind.full_name == "google.protobuf.Value"
