"""Validation rules: how they are read, and that ours are the published ones."""

from __future__ import annotations

import protovalidate
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from protovalidate._gen.buf.validate import validate_pb as published

from proto.buf.validate import validate_pb2
from proto.transactions.v2 import identity_pb2, ledger_pb2
from transport.grpc.rules import compile_rules

FIELD = descriptor_pb2.FieldDescriptorProto


def rule(**rules) -> descriptor_pb2.FieldOptions:
    options = descriptor_pb2.FieldOptions()
    options.Extensions[validate_pb2.field].CopyFrom(validate_pb2.FieldRules(**rules))
    return options


def types_of(*fields: tuple[str, int, int, descriptor_pb2.FieldOptions | None]):
    """Two message types of a file that is not ours: `Inner` has these fields, `Outer` one Inner and a list of them."""
    file = descriptor_pb2.FileDescriptorProto(name="test.proto", package="test", syntax="proto3")
    file.dependency.append("buf/validate/validate.proto")
    inner, outer = file.message_type.add(name="Inner"), file.message_type.add(name="Outer")
    for number, (name, kind, label, options) in enumerate(fields, 1):
        inner.field.add(name=name, number=number, type=kind, label=label, options=options)
    for number, (name, label) in enumerate([("one", FIELD.LABEL_OPTIONAL), ("many", FIELD.LABEL_REPEATED)], 1):
        outer.field.add(name=name, number=number, type=FIELD.TYPE_MESSAGE, label=label, type_name=".test.Inner")
    pool = descriptor_pool.DescriptorPool()
    for dependency in (descriptor_pb2.DESCRIPTOR, validate_pb2.DESCRIPTOR):
        pool.AddSerializedFile(dependency.serialized_pb)
    pool.Add(file)
    return tuple(
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test.{name}"))
        for name in ("Inner", "Outer")
    )


def found(message) -> list[tuple[str, str]]:
    check = compile_rules(message.DESCRIPTOR)
    assert check is not None
    return [(error.field, error.message) for error in check(message)]


def elements_of(file: bytes) -> dict[str, tuple]:
    """Every name of a file, with all that the wire and the text format make of it."""
    described = descriptor_pb2.FileDescriptorProto.FromString(file)
    elements: dict[str, tuple] = {"syntax": (described.syntax, described.edition)}
    for message in described.message_type:
        for field in message.field:
            oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
            kind = (field.type, field.type_name, field.label, oneof)
            elements[f"{message.name}.{field.name}"] = (field.number, *kind)
    for enum in described.enum_type:
        elements |= {f"{enum.name}.{value.name}": (value.number,) for value in enum.value}
    for each in described.extension:
        elements[f"{each.extendee}.{each.name}"] = (each.number, each.type, each.type_name, each.label)
    return elements


def test_the_vendored_rules_are_the_published_ones():
    ours, theirs = (
        elements_of(validate_pb2.DESCRIPTOR.serialized_pb),
        elements_of(published.desc().proto.to_binary()),
    )
    assert len(ours) > 20
    assert ours.items() <= theirs.items()


def test_a_type_without_rules_has_no_check():
    assert compile_rules(identity_pb2.GetUserRequest.DESCRIPTOR) is None
    assert compile_rules(identity_pb2.LoginUserResponse.DESCRIPTOR) is None


def test_every_bad_field_and_item_is_named_by_its_path():
    inner, outer = types_of(
        ("count", FIELD.TYPE_INT32, FIELD.LABEL_OPTIONAL, rule(int32={"gte": 1})),
        ("tags", FIELD.TYPE_STRING, FIELD.LABEL_REPEATED, rule(repeated={"items": {"string": {"max_len": 2}}})),
    )
    good, bad = inner(count=1), inner(count=0, tags=["ok", "too long"])
    message = outer(one=bad, many=[good, bad])
    assert [field for field, _ in found(message)] == [
        *("one.count", "one.tags[1]"),
        *("many[1].count", "many[1].tags[1]"),
    ]
    assert found(outer(many=[good])) == []


def test_what_is_unset_is_not_looked_at():
    assert found(identity_pb2.UpdateUserRequest()) == []
    assert found(identity_pb2.UpdateUserRequest(email="")) == [("email", "must be an email address")]


@pytest.mark.parametrize(
    ("kind", "rules", "words"),
    [
        (FIELD.TYPE_INT32, {"int32": {"gte": -3, "lte": 3}}, "must be between -3 and 3"),
        (FIELD.TYPE_INT32, {"int32": {"gte": 5}}, "must be at least 5"),
        (FIELD.TYPE_INT32, {"int32": {"gte": 1}}, "must be a positive 32-bit integer"),
        (FIELD.TYPE_INT64, {"int64": {"gt": 0}}, "must be a positive 64-bit integer"),
        (FIELD.TYPE_STRING, {"string": {"min_len": 5}}, "must be at least 5 characters"),
        (FIELD.TYPE_STRING, {"string": {"max_len": 2}}, "must be at most 2 characters"),
        (FIELD.TYPE_STRING, {"string": {"pattern": "^[0-9]*$"}}, "must match ^[0-9]*$"),
        (FIELD.TYPE_STRING, {"string": {"in": ["a", "b"]}}, "must be one of a, b"),
        (FIELD.TYPE_STRING, {"string": {"not_in": ["bad"]}}, "is reserved"),
    ],
)
def test_a_rule_that_no_words_were_chosen_for_says_itself(kind, rules, words):
    inner, _ = types_of(("value", kind, FIELD.LABEL_OPTIONAL, rule(**rules)))
    value = "bad" if kind == FIELD.TYPE_STRING else -9
    assert found(inner(value=value)) == [("value", words)]


@pytest.mark.parametrize("number", [0, 1, 1_000, 1_001])
def test_a_list_is_as_long_as_the_official_library_says(number):
    message = ledger_pb2.BatchTransfersRequest(transfers=[ledger_pb2.TransferOrder()] * number)
    bad = bool(protovalidate.collect_violations(message))
    assert found(message) == ([("transfers", "must be 1 to 1000")] if bad else [])
    assert bad == (number in (0, 1_001))


@pytest.mark.parametrize(
    "rules",
    [
        {"string": {"pattern": "[a-z]"}},  # found anywhere
        {"string": {"pattern": "^a|b$"}},
        {"string": {"pattern": r"^\s*$"}},  # Unicode's blanks, or ASCII's
        {"repeated": {"min_items": 1}},
    ],
)
def test_a_rule_that_is_not_understood_is_refused_at_the_start(rules):
    inner, _ = types_of(("value", FIELD.TYPE_STRING, FIELD.LABEL_OPTIONAL, rule(**rules)))
    with pytest.raises(ValueError, match=r"understood|alike"):
        compile_rules(inner.DESCRIPTOR)


@pytest.mark.parametrize("place", ["field", "string", "items"])
def test_a_rule_of_a_later_protovalidate_is_refused_at_the_start(place):
    unknown = b"\xc0\x3e\x01"  # number 1000
    rules = validate_pb2.FieldRules()
    rules.repeated.items.string.min_len = 1
    within = {"field": rules, "items": rules.repeated.items, "string": rules.repeated.items.string}[place]
    within.MergeFromString(unknown)
    options = descriptor_pb2.FieldOptions()
    options.Extensions[validate_pb2.field].CopyFrom(rules)
    inner, _ = types_of(("value", FIELD.TYPE_STRING, FIELD.LABEL_REPEATED, options))
    with pytest.raises(ValueError, match="number 1000 not understood"):
        compile_rules(inner.DESCRIPTOR)
