"""Canonical protobuf JSON, strictly: https://protobuf.dev/programming-guides/json/; its rules are quoted."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from domain.errors import InvalidArgument
from tests.support.protos import Protos
from transport.gateway import json_text, messages

SOURCE = """
message All {
  int32 i32 = 1; int64 i64 = 2; uint32 u32 = 3; uint64 u64 = 4; sint64 s64 = 5; fixed32 f32 = 6; sfixed64 sf64 = 7;
  float single = 8; double twice = 9; bool flag = 10; string text_value = 11; bytes raw = 12; Color color = 13;
  optional int32 maybe = 14;
  All inner = 15; repeated int64 numbers = 16; repeated All inners = 17; repeated Color colors = 18;
  map<string, int64> by_name = 19; map<int32, All> by_number = 20; map<bool, string> by_flag = 21;
  oneof choice { string this_one = 22; All that_one = 23; }
  google.protobuf.Timestamp at = 24; google.protobuf.Duration took = 25; google.protobuf.FieldMask mask = 26;
  google.protobuf.Int64Value wrapped = 27; google.protobuf.BytesValue wrapped_raw = 28;
  google.protobuf.Struct struct = 29; google.protobuf.Value value = 30; google.protobuf.ListValue list = 31;
  repeated google.protobuf.Timestamp times = 32;
  string odd = 33 [json_name = "Other-Name"];
}
enum Color { NONE = 0; RED = 1; BLUE = 2; }
"""


@pytest.fixture(scope="module")
def all_type() -> Any:
    return Protos(SOURCE).type("All")


@pytest.fixture
def read(all_type):
    def read(text: str | bytes) -> Any:
        message = all_type()
        messages.read(json_text.decode(text.encode() if isinstance(text, str) else text), message)
        return message

    return read


@pytest.fixture
def refused(read):
    """Where the body is refused; None for the body itself."""

    def refused(text: str | bytes) -> str | None:
        with pytest.raises(InvalidArgument) as caught:
            read(text)
        return caught.value.fields[0].field if caught.value.fields else None

    return refused


# "int64, fixed64, uint64: string [...] Either numbers or strings are accepted. [...] Exponent notation (such as 1e2) is
# accepted in both quoted and unquoted forms."


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1),
        ('"1"', 1),
        ("-0", 0),
        ("1.0", 1),
        ("1e2", 100),
        ('"1E2"', 100),
        ('"1.5e1"', 15),
        ("9223372036854775807", 2**63 - 1),
        ('"-9223372036854775808"', -(2**63)),
        ("9007199254740993.0", 2**53 + 1),
        ('"9.223372036854775807e18"', 2**63 - 1),
    ],
)
@pytest.mark.parametrize("name", ["i64", "s64", "sf64"])
def test_an_integer_is_a_number_or_a_string_of_one(read, name, written, value):
    assert getattr(read(f'{{"{name}": {written}}}'), name) == value


@pytest.mark.parametrize(
    "written",
    [
        *("1.5", '"1.5"', "1e-1", "1e309", "-1e309", "1e999999999", '"1e999999999"', "1e9999999999999999999"),
        *("true", "false", "[]", "{}", '""', '" 1"', '"1 "', '"+1"', '"01"', '"1_0"', '"0x1"', '"1e"', '"١"'),
        *('"NaN"', '"Infinity"', '"1\\n"', "9223372036854775808", '"-9223372036854775809"', "9.3e18"),
        "1" * 30,
    ],
)
def test_what_is_no_integer_is_refused(refused, written):
    assert refused(f'{{"i64": {written}}}') in ("i64", None)


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("i32", -(2**31), 2**31 - 1),
        ("u32", 0, 2**32 - 1),
        ("f32", 0, 2**32 - 1),
        ("u64", 0, 2**64 - 1),
        ("i64", -(2**63), 2**63 - 1),
    ],
)
def test_an_integer_is_within_its_range(read, refused, name, lowest, highest):
    assert getattr(read(f'{{"{name}": {lowest}}}'), name) == lowest
    assert getattr(read(f'{{"{name}": "{highest}"}}'), name) == highest
    assert refused(f'{{"{name}": {lowest - 1}}}') == name
    assert refused(f'{{"{name}": "{highest + 1}"}}') == name


def test_a_constant_that_json_does_not_have_is_refused(refused):
    for constant in ("NaN", "Infinity", "-Infinity"):
        assert refused(f'{{"i64": {constant}}}') is None
        assert refused(f'{{"twice": {constant}}}') is None
    assert refused('{"i64": ' + "1" * 5000 + "}") is None


# "float, double: JSON value will be a number or one of the special string values "NaN", "Infinity", and "-Infinity".
# Either numbers or strings are accepted. [...] Exponent notation is also accepted."


def test_a_float_is_a_number_a_string_of_one_or_one_of_three_words(read):
    assert read('{"twice": 1.5}').twice == read('{"twice": "15e-1"}').twice == 1.5
    assert read('{"twice": 1}').twice == 1.0
    assert math.isnan(read('{"twice": "NaN"}').twice)
    assert read('{"single": "-Infinity"}').single == -math.inf
    assert read('{"twice": 1e-400}').twice == 0.0


@pytest.mark.parametrize(
    "written",
    ["true", '"nan"', '"inf"', '"infinity"', '"1_0"', '" 1"', '""', "[1]", "1e309", '"1e309"', "-1e309"],
)
def test_what_is_no_float_is_refused(refused, written):
    assert refused(f'{{"twice": {written}}}') == "twice"
    assert refused(f'{{"single": {written}}}') == "single"


def test_what_is_too_large_for_a_float_is_refused(refused):
    assert refused('{"single": 3.5e38}') == "single"
    assert refused('{"single": "3.5e38"}') == "single"
    assert refused('{"twice": 1' + "0" * 400 + "}") == "twice"


# "bool: true, false"
@pytest.mark.parametrize("written", ["0", "1", '"true"', '""', "[]"])
def test_a_boolean_is_true_or_false(read, refused, written):
    assert read('{"flag": true}').flag is True
    assert refused(f'{{"flag": {written}}}') == "flag"


# "string"
@pytest.mark.parametrize("written", ["1", "true", "[]", "{}", r'"\ud800"', r'"\udc00x"'])
def test_a_string_is_valid_unicode(read, refused, written):
    assert read(r'{"textValue": "\ud83d\ude00é"}').text_value == "😀é"
    assert refused(f'{{"textValue": {written}}}') == "text_value"


# "bytes: Either standard or URL-safe base64 encoding with/without paddings are accepted."


@pytest.mark.parametrize(
    ("written", "value"),
    [("", b""), ("aGk=", b"hi"), ("aGk", b"hi"), ("-_8=", b"\xfb\xff"), ("+/8", b"\xfb\xff"), ("YWI/", b"ab?")],
)
def test_bytes_are_base64_of_either_alphabet(read, written, value):
    assert read(f'{{"raw": "{written}"}}').raw == value


@pytest.mark.parametrize(
    "written", ['"a"', '"aGk=="', '"aGk=\\n"', '"a Gk"', '"!!!!"', '"=="', '"aG=k"', "1", "[]"]
)
def test_bytes_with_anything_else_in_them_are_refused(refused, written):
    assert refused(f'{{"raw": {written}}}') == "raw"


# "enum: The name of the enum value as specified in proto is used. Parsers accept both enum names and integer values."


@pytest.mark.parametrize(("written", "value"), [('"RED"', 1), ("1", 1), ("2.0", 2), ("77", 77), ("-1", -1)])
def test_an_enum_is_a_name_or_a_number(read, written, value):
    assert read(f'{{"color": {written}}}').color == value


@pytest.mark.parametrize("written", ['"red"', '"1"', '""', "true", "1.5", "2147483648", "[]"])
def test_what_is_neither_is_refused(refused, written):
    assert refused(f'{{"color": {written}}}') == "color"
    assert refused(f'{{"colors": ["RED", {written}]}}') == "colors[1]"


# "Message field names are mapped to lowerCamelCase and become JSON object keys. [...] Parsers accept both the
# lowerCamelCase name (or the one specified by the json_name option) and the original proto field name."


def test_a_field_has_two_names(read):
    assert read('{"textValue": "x"}') == read('{"text_value": "x"}')
    assert read('{"Other-Name": "x"}') == read('{"odd": "x"}')


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"i32": 1, "i32": 1}', "i32"),
        ('{"textValue": "x", "text_value": "x"}', "text_value"),
        ('{"text_value": null, "textValue": "x"}', "text_value"),
        ('{"inner": {"i32": 1, "i32": 2}}', "inner.i32"),
        ('{"inners": [{}, {"textValue": "", "text_value": ""}]}', "inners[1].text_value"),
        ('{"byName": {"a": 1, "a": 1}}', "by_name[a]"),
        ('{"byNumber": {"1": {}, "1e0": {}}}', "by_number[1e0]"),
    ],
)
def test_a_field_that_appears_twice_is_refused(refused, text, where):
    assert refused(text) == where


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"nothing": 1}', "nothing"),
        ('{"I32": 1}', "I32"),
        ('{"TextValue": "x"}', "TextValue"),
        ('{"inner": {"nothing": 1}}', "inner.nothing"),
        ('{"inners": [{"inner": {"x": null}}]}', "inners[0].inner.x"),
        ('{"byNumber": {"7": {"x": 1}}}', "by_number[7].x"),
        ('{"' + "x" * 5_000 + '": 1}', "x" * messages.NAME_SHOWN),
        ('{"byName": {"' + "x" * 5_000 + '": true}}', f"by_name[{'x' * messages.NAME_SHOWN}]"),
        (r'{"\ud800": 1}', None),
        (r'{"inner": {"\ud800": 1}}', "inner"),
    ],
)
def test_a_field_that_is_none_is_refused(refused, text, where):
    assert refused(text) == where


# "null is an accepted value for all field types and leaves the field unset." But: "null is not allowed as an element of
# a repeated field" nor as a map's value.


def test_null_is_as_good_as_absent(read, all_type):
    names = [field.json_name for field in all_type.DESCRIPTOR.fields if field.name != "value"]
    assert read(json.dumps(dict.fromkeys(names))) == all_type()


def test_null_is_a_value_where_any_value_is(read):
    assert read('{"value": null}').value.HasField("null_value")
    assert read('{"list": [null]}').list.values[0].HasField("null_value")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"numbers": [1, null]}', "numbers[1]"),
        ('{"inners": [null]}', "inners[0]"),
        ('{"byName": {"a": null}}', "by_name[a]"),
        ('{"times": [null]}', "times[0]"),
    ],
)
def test_null_is_no_element(refused, text, where):
    assert refused(text) == where


# "message: object", "repeated V: array", "map<K,V>: object. All keys are converted to strings."


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[]", None),
        ("null", None),
        ("1", None),
        ('"x"', None),
        ('{"inner": []}', "inner"),
        ('{"inner": 1}', "inner"),
        ('{"numbers": {}}', "numbers"),
        ('{"numbers": 1}', "numbers"),
        ('{"numbers": [[1]]}', "numbers[0]"),
        ('{"inners": [1]}', "inners[0]"),
        ('{"byName": []}', "by_name"),
        ('{"byName": {"a": "x"}}', "by_name[a]"),
        ('{"byNumber": {"x": {}}}', "by_number"),
        ('{"byNumber": {"2147483648": {}}}', "by_number"),
        ('{"byFlag": {"True": "x"}}', "by_flag"),
        (r'{"byName": {"\ud800": 1}}', "by_name"),
    ],
)
def test_what_has_another_shape_is_refused(refused, text, where):
    assert refused(text) == where


def test_repeated_fields_maps_and_messages_are_read(read, all_type):
    message = read(
        '{"numbers": [1, "2"], "inners": [{"i32": 1}, {}], "byName": {"a": "1"}, "byNumber": {"-7": {"i32": 3}},'
        ' "byFlag": {"true": "yes"}, "inner": {"inner": {}}}'
    )
    expected = all_type(
        numbers=[1, 2],
        inners=[all_type(i32=1), all_type()],
        by_name={"a": 1},
        by_number={-7: all_type(i32=3)},
        by_flag={True: "yes"},
        inner=all_type(inner=all_type()),
    )
    assert message == expected


def test_of_a_oneof_one_is_chosen(read, refused):
    assert read('{"thisOne": "", "thatOne": null}').WhichOneof("choice") == "this_one"
    assert refused('{"thisOne": "", "thatOne": {}}') == "that_one"
    assert refused('{"inner": {"thatOne": {}, "thisOne": "x"}}') == "inner.this_one"


def test_a_field_with_presence_may_be_there_and_zero(read):
    assert read('{"maybe": 0}').HasField("maybe")
    assert not read("{}").HasField("maybe")


# Types with a JSON of their own


@pytest.mark.parametrize(
    ("name", "written", "again"),
    [
        ("at", "1972-01-01T10:00:20.021Z", None),
        ("at", "1972-01-01T10:00:20.123456789+01:00", "1972-01-01T09:00:20.123456789Z"),
        ("at", "1970-01-01T00:00:00Z", None),
        ("took", "1.000340012s", None),
        ("took", "-1s", None),
        ("mask", "i32,inner.textValue", None),
        ("mask", "", None),
        ("wrapped", "7", None),
        ("wrapped", "0", None),
        ("wrappedRaw", "aGk=", None),
    ],
)
def test_well_known_types_are_strings(read, name, written, again):
    message = read(json.dumps({name: written}))
    assert messages.document_of(message)[name] == (written if again is None else again)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("at", '"1972-1-1T10:00:20Z"'),
        ("at", '"1972-01-01 10:00:20Z"'),
        ("at", '"1972-01-01T10:00:20"'),
        ("at", '"1972-01-01T10:00:20.1234567891Z"'),
        ("at", '"1972-13-01T10:00:20Z"'),
        ("at", '"0000-01-01T00:00:00Z"'),
        ("at", '"١٩٧٢-01-01T10:00:20Z"'),
        ("at", "1"),
        ("at", '{"seconds": 1}'),
        ("took", '"1"'),
        ("took", '"1.5"'),
        ("took", '"999999999999s"'),
        ("took", "1.5"),
        ("mask", '"inner_field"'),
        ("mask", '["a"]'),
        ("wrapped", "1.5"),
        ("wrapped", "true"),
        ("wrapped", '{"value": 1}'),
        ("struct", "[]"),
        ("struct", '{"a": 1, "a": 2}'),
        ("struct", '{"a": [1e309]}'),
        ("list", "{}"),
        ("value", r'"\ud800"'),
    ],
)
def test_well_known_types_are_refused_otherwise(refused, name, written):
    assert refused(f'{{"{name}": {written}}}') == name


def test_free_form_types_take_any_json(read):
    message = read('{"struct": {"a": [1, 1.5, true, null, {"b": "c"}]}, "value": 2e1}')
    document = messages.document_of(message)
    assert document["struct"] == {"a": [1, 1.5, True, None, {"b": "c"}]}
    assert document["value"] == 20


# The text itself


@pytest.mark.parametrize(
    "raw",
    [
        *(
            b"",
            b"{",
            b"{}{}",
            b"{} x",
            b"{'a': 1}",
            b'{"i32": 01}',
            b'{"i32": 1,}',
            b"\xff",
            b'{"textValue": "\xff"}',
        ),
        *(b"\xef\xbb\xbf{}", '{"i32": 1}'.encode("utf-16"), b'{"textValue": "\n"}', b"/**/{}", b'{"i32": .5}'),
    ],
)
def test_what_is_no_json_is_refused(refused, raw):
    assert refused(raw) is None


def test_nesting_is_bounded(read, refused):
    deep = messages.NESTING_MAX - 1
    assert read('{"inner": ' * deep + "{}" + "}" * deep)
    assert refused('{"inner": ' * (deep + 1) + "{}" + "}" * (deep + 1)) == ".".join(["inner"] * (deep + 1))
    assert refused('{"inners": [' * (deep + 1) + "{}" + "]}" * (deep + 1)).startswith("inners[0].inners[0]")
    assert read('{"value": ' + "[" * (deep - 1) + "]" * (deep - 1) + "}")
    assert refused('{"value": ' + "[" * (deep + 1) + "]" * (deep + 1) + "}") == "value"
    assert refused('{"value": ' + "[" * 900 + "]" * 900 + "}") in ("value", None)
    assert refused("[" * 100_000) is None
    assert refused('{"struct": ' * 100_000) is None


# "always_print_fields_with_no_presence": what a client is told has every field that cannot be absent.


def test_an_answer_has_every_field_that_cannot_be_absent(all_type):
    document = messages.document_of(all_type(i64=2**63 - 1, raw=b"\xfb\xff", color=1))
    assert document["i64"] == "9223372036854775807"
    assert document["raw"] == "+/8="
    assert document["color"] == "RED"
    assert document["textValue"] == ""
    assert document["numbers"] == []
    assert document["byName"] == {}
    assert document["flag"] is False
    assert "maybe" not in document
    assert "inner" not in document
    assert "at" not in document
