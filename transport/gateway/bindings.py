"""What an RPC is over HTTP: a `google.api.HttpRule`, checked once against the messages that it is about.

https://github.com/googleapis/googleapis/blob/master/google/api/http.proto
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from domain.errors import InvalidArgument
from transport.gateway import json_text, messages, query, scalars, templates
from transport.gateway.templates import Template, Variable

WHOLE = "*"
WITHOUT_BODY = ("GET", "HEAD", "DELETE")


@dataclass(frozen=True, slots=True)
class Binding:
    """One way to call a method.

    `body` and `response_body` name a field, or are `WHOLE`; without `body` there is none. What is `taken` comes from
    the path or the body.
    """

    http_method: str
    template: Template
    body: str
    response_body: str
    paths: tuple[tuple[Variable, tuple[FieldDescriptor, ...]], ...]
    taken: frozenset[str]
    request_type: Any

    def request(self, segments: Sequence[str], query_string: str, raw: bytes) -> Message:
        """The message that a path, a query and a body make together; raises InvalidArgument."""
        message: Message = self.request_type()
        if raw:
            self._take_body(message, raw)
        for variable, fields in self.paths:
            _take_variable(message, fields, variable, segments)
        if query_string:
            if self.body == WHOLE:
                raise InvalidArgument("what is asked for is in the body: there is no query")
            query.read(query_string, message, self.taken)
        return message

    def answer(self, response: Message) -> bytes:
        """A response as JSON."""
        document: Any = messages.document_of(response)
        if self.response_body != WHOLE:
            document = document.get(response.DESCRIPTOR.fields_by_name[self.response_body].json_name)
        return messages.encode(document)

    def _take_body(self, message: Message, raw: bytes) -> None:
        if not self.body:
            raise InvalidArgument("what is asked for is in the path and the query: there is no body")
        value = json_text.decode(raw)
        if self.body == WHOLE:
            messages.read(value, message)
        elif value is not None:
            field: Any = message.DESCRIPTOR.fields_by_name[self.body]
            messages.read_field(value, message, field, self.body)


def bindings_of(method: MethodDescriptor, request_type: Any) -> Iterator[Binding]:
    """The ways to call a method, none where it has no annotation; raises ValueError for one that means nothing."""
    options: Any = method.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return
    rule = options.Extensions[annotations_pb2.http]
    for each in (rule, *rule.additional_bindings):
        if each is not rule and each.additional_bindings:
            raise ValueError(f"{method.full_name}: an additional binding has additional bindings")
        try:
            yield _binding(each, method, request_type)
        except ValueError as error:
            raise ValueError(f"{method.full_name}: {error}") from None


def _binding(rule: http_pb2.HttpRule, method: MethodDescriptor, request_type: Any) -> Binding:
    http_method, path = _pattern(rule)
    template = templates.parse(path)
    if rule.body and http_method in WITHOUT_BODY:
        raise ValueError(f"{http_method} has no body")
    if rule.body not in ("", WHOLE):
        _top_level(method.input_type, rule.body)
    if rule.response_body:
        _top_level(method.output_type, rule.response_body)
    if method.client_streaming and rule.body != WHOLE:
        raise ValueError("a stream of requests takes them whole from the body")
    paths = tuple((each, _path_field(method.input_type, each.path)) for each in template.variables)
    taken = frozenset([rule.body, *(each.path for each in template.variables)])
    return Binding(http_method, template, rule.body, rule.response_body or WHOLE, paths, taken, request_type)


def _pattern(rule: http_pb2.HttpRule) -> tuple[str, str]:
    kind = rule.WhichOneof("pattern")
    if kind is None:
        raise ValueError("names no HTTP method and path")
    if kind == "custom":
        return rule.custom.kind, rule.custom.path
    return kind.upper(), getattr(rule, kind)


def _top_level(kind: Descriptor, name: str) -> None:
    if name not in kind.fields_by_name:
        raise ValueError(f"{kind.full_name} has no field {name}")


def _path_field(kind: Descriptor, path: str) -> tuple[FieldDescriptor, ...]:
    fields: list[FieldDescriptor] = []
    within: Descriptor | None = kind
    for name in path.split("."):
        field = within.fields_by_name.get(name) if within is not None else None
        if field is None or field.is_repeated:
            raise ValueError(f"{kind.full_name} has no single field {path}")
        fields.append(field)
        within = field.message_type
    if within is not None:
        raise ValueError(f"{path} is a message, and no path can be one")
    return tuple(fields)


def _take_variable(
    message: Message, fields: Sequence[FieldDescriptor], variable: Variable, segments: Sequence[str]
) -> None:
    """Set a field of the path; a body may repeat what the path says, and not contradict it."""
    parent, leaf = message, fields[-1]
    for field in fields[:-1]:
        messages.choose(parent, field, variable.path)
        parent = getattr(parent, field.name)
    messages.choose(parent, leaf, variable.path)
    try:
        value = scalars.from_text(leaf, variable.value(segments))
    except ValueError as error:
        raise messages.wrong(variable.path, str(error)) from None
    before = getattr(parent, leaf.name)
    given = parent.HasField(leaf.name) if leaf.has_presence else before != leaf.default_value
    if given and before != value:
        raise messages.wrong(variable.path, "must be what the path says")
    setattr(parent, leaf.name, value)
