"""Query parameters, rule by rule of google/api/http.proto; the rules are quoted."""

from __future__ import annotations

from typing import Any

import pytest

from domain.errors import InvalidArgument
from tests.support.protos import Protos
from transport.gateway import messages, query

SOURCE = """
message Request {
  int64 number = 1; string some_text = 2; bool flag = 3; Color color = 4; bytes raw = 5; double ratio = 6;
  Inner inner = 7; repeated string many = 8; repeated Color colors = 9; repeated Inner inners = 10;
  map<string, string> mapped = 11; optional int32 maybe = 12;
  google.protobuf.Timestamp at = 13; google.protobuf.Duration took = 14; google.protobuf.FieldMask mask = 15;
  google.protobuf.Int64Value wrapped = 16; google.protobuf.Struct struct = 17;
  repeated google.protobuf.Timestamp times = 18;
  oneof choice { string this_one = 19; Inner that_one = 20; }
}
message Inner { string deep_text = 1; Inner inner = 2; repeated int32 many = 3; google.protobuf.BoolValue sure = 4; }
enum Color { NONE = 0; RED = 1; }
"""


@pytest.fixture(scope="module")
def protos() -> Protos:
    return Protos(SOURCE)


@pytest.fixture
def read(protos):
    def read(text: str, *taken: str) -> Any:
        message = protos.message("Request")
        query.read(text, message, frozenset(taken))
        return message

    return read


@pytest.fixture
def refused(read):
    """The field that a query is refused for; None where it is the query itself."""

    def refused(text: str, *taken: str) -> str | None:
        with pytest.raises(InvalidArgument) as caught:
            read(text, *taken)
        return caught.value.fields[0].field if caught.value.fields else None

    return refused


# "the parameter name is the field path in the request message"


def test_a_parameter_is_a_field_by_either_name(read, protos):
    expected = protos.message("Request", number=2, some_text="x")
    assert read("number=2&some_text=x") == read("someText=x&number=2") == expected


# "In the case of a message type, each field of the message is mapped to a separate parameter, such as
# `...?foo.a=A&foo.b=B&foo.c=C`."


def test_a_field_of_a_message_is_a_path(read, protos):
    inner = protos.message("Inner", deep_text="x", many=[1, 2], inner=protos.message("Inner", deep_text="y"))
    expected = protos.message("Request", inner=inner)
    assert read("inner.deep_text=x&inner.many=1&inner.inner.deepText=y&inner.many=2") == expected


# "A repeated field can be represented as multiple query parameters under the same name."


def test_a_repeated_field_is_given_several_times(read, protos):
    expected = protos.message("Request", many=["a", "b", ""], colors=[1, 0])
    assert read("many=a&colors=RED&many=b&many=&colors=0") == expected


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("number=1&number=1", "number"),
        ("some_text=a&someText=a", "some_text"),
        ("inner.deep_text=a&inner.deepText=a", "inner.deep_text"),
        ("wrapped=1&wrapped=1", "wrapped"),
    ],
)
def test_any_other_is_given_once(refused, text, where):
    assert refused(text) == where


# "Note that fields which are mapped to URL query parameters must have a primitive type or a repeated primitive type or
# a non-repeated message type."
# "Repeated message fields must not be mapped to URL query parameters"


@pytest.mark.parametrize("text", ["inner=x", "inners=x", "mapped=x", "struct=x", "times=1972-01-01T10:00:20Z"])
def test_what_is_no_single_value_is_refused(refused, text):
    assert refused(text) == text.partition("=")[0]


@pytest.mark.parametrize(
    "name",
    [
        *("nothing", "inner.nothing", "inners.deep_text", "mapped.a", "mapped.key", "number.x", "at.seconds"),
        *(
            "wrapped.value",
            "struct.fields",
            "",
            ".",
            "number.",
            ".number",
            "Number",
            "inner..deep_text",
            "many[0]",
        ),
    ],
)
def test_what_is_no_field_is_refused(refused, name):
    assert refused(f"{name}=1") in (name, None)


@pytest.mark.parametrize("text", ["number=1", "inner.deep_text=x", "inner.inner.many=1"])
def test_what_is_taken_from_elsewhere_is_refused(read, refused, text):
    taken = text.partition("=")[0]
    read(text, "other")
    assert refused(text, taken) == taken
    assert refused("inner.inner.many=1", "inner") == "inner"
    read("inner.many=1", "inner.inner")


# Values


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("flag=true", "flag", True),
        ("flag=false", "flag", False),
        ("color=RED", "color", 1),
        ("color=1", "color", 1),
        ("number=-9223372036854775808", "number", -(2**63)),
        ("ratio=1.5e3", "ratio", 1500.0),
        ("raw=aGk_", "raw", b"hi?"),
        ("raw=aGk%2F", "raw", b"hi?"),
        ("some_text=a%20b+c%26%3D", "some_text", "a b c&="),
        ("some_text=caf%C3%A9", "some_text", "café"),
        ("some_text=a=b", "some_text", "a=b"),
        ("some_text", "some_text", ""),
        ("some%5Ftext=x", "some_text", "x"),
    ],
)
def test_a_value_stands_without_quotes(read, text, name, value):
    assert getattr(read(text), name) == value


def test_a_field_with_presence_may_be_given_as_zero(read):
    assert read("maybe=0").HasField("maybe")
    assert read("wrapped=0").HasField("wrapped")
    assert read("inner.sure=false").inner.HasField("sure")
    assert read("at=1970-01-01T00:00:00Z").HasField("at")


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("at=2026-11-25T02:00:00.5%2B01:00", "at", "2026-11-25T01:00:00.500Z"),
        ("took=1.5s", "took", "1.500s"),
        ("mask=number,inner.deepText", "mask", "number,inner.deepText"),
        ("wrapped=7", "wrapped", "7"),
    ],
)
def test_well_known_types_are_as_in_json(read, text, name, value):
    assert messages.document_of(read(text))[name] == value


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("number=x", "number"),
        ("number=", "number"),
        ("number=1.5", "number"),
        ("number=%201", "number"),
        ("number=true", "number"),
        ("flag=1", "flag"),
        ("flag=True", "flag"),
        ("flag=", "flag"),
        ("color=red", "color"),
        ("color=1.5", "color"),
        ("ratio=1e309", "ratio"),
        ("raw=***", "raw"),
        ("many=a&colors=RED&colors=MANY", "colors"),
        ("maybe=2147483648", "maybe"),
        ("at=yesterday", "at"),
        ("took=1", "took"),
        ("wrapped=x", "wrapped"),
        ("inner.many=x", "inner.many"),
        ("inner.sure=yes", "inner.sure"),
    ],
)
def test_a_value_that_is_none_names_its_field(refused, text, where):
    assert refused(text) == where


@pytest.mark.parametrize(
    "text", ["some_text=%", "some_text=%2", "some_text=%zz", "some_text=%ff", "%ed%a0%80=x"]
)
def test_what_is_not_encoded_well_is_refused(refused, text):
    assert refused(text) is None


def test_of_a_oneof_one_is_chosen(read, refused):
    assert read("this_one=").WhichOneof("choice") == "this_one"
    assert read("that_one.deep_text=x&that_one.many=1").WhichOneof("choice") == "that_one"
    assert refused("this_one=x&that_one.deep_text=y") == "that_one"
    assert refused("that_one.deep_text=y&this_one=") == "this_one"


def test_an_empty_parameter_is_none(read, protos):
    assert read("&&") == protos.message("Request")
