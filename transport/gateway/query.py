"""Query parameters: the fields of a request that neither its path nor its body is about."""

from __future__ import annotations

from collections.abc import Set
from urllib.parse import parse_qsl

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from domain.errors import InvalidArgument
from transport.gateway import messages, percent, scalars


def read(query: str, message: Message, taken: Set[str]) -> None:
    """Set what a query says; raises InvalidArgument.

    A parameter is the path of a field, by either of its names, and one for each value where the field is repeated.
    What is `taken`, or within it, comes from elsewhere.
    """
    seen: set[str] = set()
    for name, text in _pairs(query):
        parent, field, where = _find(message, name, taken)
        if where in seen and not field.is_repeated:
            raise messages.wrong(where, "appears twice")
        seen.add(where)
        try:
            _set(parent, field, text, where)
        except ValueError as error:
            raise messages.wrong(where, str(error)) from None


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        percent.check(query)
        return parse_qsl(query, keep_blank_values=True)
    except ValueError as error:
        raise InvalidArgument(f"the query {error}") from None


def _find(message: Message, name: str, taken: Set[str]) -> tuple[Message, FieldDescriptor, str]:
    """The message and the field that a parameter is about, and its path by the names of the .proto files."""
    parent, where, field = message, "", None
    for part in name.split("."):
        if field is not None:
            if not _is_open(field):
                raise messages.unknown(name, "")
            parent = getattr(parent, field.name)
        field = messages.fields_of(parent.DESCRIPTOR).get(part)
        if field is None:
            raise messages.unknown(name, "")
        where = f"{where}.{field.name}" if where else field.name
        if where in taken:
            raise messages.wrong(where, "must not be given in the query")
        messages.choose(parent, field, where)
    assert field is not None
    return parent, field, where


def _is_open(field: FieldDescriptor) -> bool:
    """Whether a parameter may be about a field within it."""
    kind = field.message_type
    return kind is not None and not field.is_repeated and not _is_leaf(field)


def _is_leaf(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is None or kind.full_name in messages.SPELLED or messages.is_wrapper(kind)


def _set(parent: Message, field: FieldDescriptor, text: str, where: str) -> None:
    kind = field.message_type
    if kind is None and field.is_repeated:
        getattr(parent, field.name).append(scalars.from_text(field, text))
    elif kind is None:
        setattr(parent, field.name, scalars.from_text(field, text))
    elif field.is_repeated or not _is_leaf(field):
        raise ValueError("is no single value, and must not be given in the query")
    else:
        inner = getattr(parent, field.name)
        inner.SetInParent()
        if messages.is_wrapper(kind):
            inner.value = scalars.from_text(kind.fields_by_name["value"], text)
        else:
            messages.read_spelled(text, inner, where)
