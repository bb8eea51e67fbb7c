"""Messages as JSON Schema: what the gateway accepts of a request, and what it answers.

In a body an unknown field is refused, null is as good as nothing, and an integer may be written as a string. In an
answer a 64-bit integer always is a string, and every field is there but a message that is not. What is asked of a
field, and who sets it, the .proto files say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from transport.docs.parts import Json, schema_ref
from transport.grpc.rules import FIELD, RANGES, integer_bounds

from proto.buf.validate import validate_pb2  # isort: skip

BEHAVIOR: Any = field_behavior_pb2.field_behavior
READ_ONLY = {field_behavior_pb2.OUTPUT_ONLY, field_behavior_pb2.IDENTIFIER}
TIMESTAMP = "google.protobuf.Timestamp"
INTEGERS = {FieldDescriptor.TYPE_INT32: "int32", FieldDescriptor.TYPE_INT64: "int64"}
TYPES = {FieldDescriptor.TYPE_STRING: "string", FieldDescriptor.TYPE_BOOL: "boolean"}


class Schemas:
    """Makes schemas; those of messages are `components`, which the others refer to."""

    def __init__(self, comments: Mapping[str, str], currencies: Collection[str]) -> None:
        self._comments = comments
        self._currencies = sorted(currencies)
        self.components: dict[str, Json] = {}

    def body(self, message: Descriptor, without: Collection[str] = ()) -> Json:
        """A message as it is sent; the fields `without` which it is are named elsewhere."""
        return self._component(message, lambda: self._body(message, without))

    def parameter(self, field: FieldDescriptor) -> Json:
        """A single value as it stands in a URL, and what is said of it."""
        rules = field.GetOptions().Extensions[FIELD]
        schema = _integer(field, rules) if field.type in INTEGERS else self._text(field, rules)
        return self._described(field.full_name, {"schema": schema})

    def answer(self, message: Descriptor) -> Json:
        """A message as it is answered."""
        return self._component(message, lambda: self._answer(message))

    def _component(self, message: Descriptor, make: Callable[[], Json]) -> Json:
        name = f"v2.{message.name}"
        if name not in self.components:
            self.components[name] = self._described(message.full_name, make())
        return schema_ref(name)

    def _described(self, name: str, schema: Json) -> Json:
        comment = self._comments.get(name)
        return schema if comment is None else {**schema, "description": comment}

    def _body(self, message: Descriptor, without: Collection[str]) -> Json:
        fields = [field for field in message.fields if field.name not in without]
        schema = {
            "type": "object",
            "properties": {field.json_name: self._given(field) for field in fields},
            "additionalProperties": False,
        }
        required = [field.json_name for field in fields if is_required(field)]
        return {**schema, "required": required} if required else schema

    def _given(self, field: FieldDescriptor) -> Json:
        rules = field.GetOptions().Extensions[FIELD]
        if field.is_repeated:
            schema = {"type": "array", "items": self._value(field, rules.repeated.items)}
            schema |= _limits(rules.repeated, minItems="min_items", maxItems="max_items")
        else:
            schema = self._value(field, rules)
        return self._described(field.full_name, schema if is_required(field) else _or_null(schema))

    def _value(self, field: FieldDescriptor, rules: validate_pb2.FieldRules) -> Json:
        if field.message_type is not None:
            return self.body(field.message_type)
        if field.type not in INTEGERS:
            return self._text(field, rules)
        number = _integer(field, rules)
        pattern = _digits(number["minimum"], number["maximum"])
        return {"oneOf": [number, {"type": "string", "format": number["format"], "pattern": pattern}]}

    def _text(self, field: FieldDescriptor, rules: validate_pb2.FieldRules) -> Json:
        schema: Json = {"type": TYPES[field.type]}
        if field.name == "currency":  # configured, and so in no file
            schema["enum"] = self._currencies
        return schema | _string(rules.string, may_be_empty=_may_be_zero(rules))

    def _answer(self, message: Descriptor) -> Json:
        return {
            "type": "object",
            "properties": {field.json_name: self._told(field) for field in message.fields},
            "required": [field.json_name for field in message.fields if not field.has_presence],
        }

    def _told(self, field: FieldDescriptor) -> Json:
        schema = self._told_once(field)
        if field.is_repeated:
            schema = {"type": "array", "items": schema}
        if READ_ONLY.intersection(field.GetOptions().Extensions[BEHAVIOR]):
            schema["readOnly"] = True
        return self._described(field.full_name, schema)

    def _told_once(self, field: FieldDescriptor) -> Json:
        if field.message_type is not None:
            if field.message_type.full_name == TIMESTAMP:
                return {"type": "string", "format": "date-time"}
            return self.answer(field.message_type)
        if field.type == FieldDescriptor.TYPE_INT64:
            return {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}
        return {"type": "integer", "format": "int32"} if field.type in INTEGERS else {"type": TYPES[field.type]}


def is_required(field: FieldDescriptor) -> bool:
    """Whether a request without it is refused."""
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[BEHAVIOR]


def _integer(field: FieldDescriptor, rules: validate_pb2.FieldRules) -> Json:
    kind = INTEGERS[field.type]
    ruled = rules.WhichOneof("type") is not None
    low, high = integer_bounds(kind, getattr(rules, kind)) if ruled else RANGES[kind]
    if _may_be_zero(rules):
        low = min(low, 0)
    elif is_required(field):
        low = max(low, 1)  # it is an id or an amount
    return {"type": "integer", "format": kind, "minimum": low, "maximum": high}


def _digits(low: int, high: int) -> str:
    """Integers of so many digits that none is too large; the few that have one more are better sent as numbers."""
    digits = f"[1-9][0-9]{{0,{len(str(high)) - 2}}}"
    return {1: f"^{digits}$", 0: f"^(?:0|{digits})$"}.get(low, f"^(?:0|-?{digits})$")


def _string(rules: validate_pb2.StringRules, *, may_be_empty: bool) -> Json:
    schema = _limits(rules, minLength="min_len", maxLength="max_len")
    if rules.pattern:
        schema["pattern"] = f"^(?:{rules.pattern[1:-1]})?$" if may_be_empty else rules.pattern
    if rules.email:
        schema["format"] = "email"
    if accepted := list(getattr(rules, "in")):
        schema["enum"] = accepted
    if rules.not_in:
        schema["not"] = {"enum": list(rules.not_in)}
    return schema


def _limits(rules: Any, **limits: str) -> Json:
    return {keyword: getattr(rules, name) for keyword, name in limits.items() if rules.HasField(name)}


def _may_be_zero(rules: validate_pb2.FieldRules) -> bool:
    return rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE


def _or_null(schema: Json) -> Json:
    if "type" not in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    nullable = {**schema, "type": [schema["type"], "null"]}
    return {**nullable, "enum": [*schema["enum"], None]} if "enum" in schema else nullable
