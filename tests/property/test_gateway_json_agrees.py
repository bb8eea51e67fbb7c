"""Our reading of protobuf's JSON against `google.protobuf.json_format`'s: stricter, and never different."""

from __future__ import annotations

import json
import random
from typing import Any

from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import InvalidArgument
from tests.support.protos import Protos
from transport.gateway import json_text, messages

SOURCE = """
message All {
  int32 i32 = 1; int64 i64 = 2; uint64 u64 = 3; float single = 4; double twice = 5; bool flag = 6;
  string text_value = 7; bytes raw = 8; Color color = 9; optional int64 maybe = 10; All inner = 11;
  repeated int64 numbers = 12; repeated All inners = 13; map<string, int64> by_name = 14;
  map<int32, All> by_number = 15; oneof choice { string this_one = 16; All that_one = 17; }
  google.protobuf.Timestamp at = 18; google.protobuf.Duration took = 19; google.protobuf.Int64Value wrapped = 20;
  google.protobuf.Struct struct = 21; google.protobuf.FieldMask mask = 22;
}
enum Color { NONE = 0; RED = 1; BLUE = 2; }
"""
ALL = Protos(SOURCE).type("All")

NUMBERS: list[Any] = [0, 1, -1, 1.0, 1.5, 1e2, 1e300, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64 - 1]
ODD: list[Any] = [None, True, "", " 1", "1_0", "x", "RED", 7, [], {}]
NUMERIC = st.sampled_from([*NUMBERS, *map(str, NUMBERS), "1E2", "-0", "NaN", "Infinity", *ODD])
TEXT = st.text(max_size=3) | st.sampled_from(ODD)
BYTES = st.sampled_from(["", "aGk=", "aGk", "-_8", "+/8=", "aGk==", "a", "!!!!", "YR==", *ODD])
ENUM = st.sampled_from(["NONE", "RED", 0, 2, 7, -1, 2.0, 1.5, "1", 2**31, *ODD])
TIMES = st.sampled_from(
    ["1972-01-01T10:00:20Z", "1972-01-01T10:00:20.123456789-05:30", "1972-1-1T1:0:0Z", *ODD]
)
SPANS = st.sampled_from(["1s", "-1.5s", "0.000000001s", "1", "1e2s", *ODD])
MASKS = st.sampled_from(["i32", "textValue,inner.at", "text_value", *ODD])


def spelled(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A message as JSON, well or nearly well."""
    kinds = {
        "i32 i64 u64 single twice maybe wrapped": NUMERIC,
        "flag": st.sampled_from([True, False, *ODD]),
        "textValue text_value thisOne this_one": TEXT,
        "raw": BYTES,
        "color": ENUM,
        "inner thatOne": inner,
        "numbers": st.lists(NUMERIC, max_size=2),
        "inners": st.lists(inner, max_size=2),
        "byName by_name": st.dictionaries(st.text(max_size=2), NUMERIC, max_size=2),
        "byNumber": st.dictionaries(st.sampled_from(["0", "-1", "1e0", "01", "x"]), inner, max_size=2),
        "at": TIMES,
        "took": SPANS,
        "mask": MASKS,
        "struct": st.dictionaries(st.text(max_size=2), NUMERIC | st.lists(NUMERIC, max_size=2), max_size=2),
    }
    members = {name: values for names, values in kinds.items() for name in names.split()}
    pairs = st.sampled_from(sorted(members)).flatmap(lambda name: st.tuples(st.just(name), members[name]))
    return st.lists(pairs, max_size=3).map(dict)


DOCUMENTS = st.deferred(lambda: spelled(DOCUMENTS | st.just({})))


def ours(text: str) -> Any:
    message = ALL()
    messages.read(json_text.decode(text.encode()), message)
    return message


def serialized(message: Any) -> bytes:
    return message.SerializeToString(deterministic=True)  # NaN is not equal to itself


@settings(max_examples=1_000, deadline=None)
@given(DOCUMENTS)
def test_what_we_accept_means_to_google_what_it_means_to_us(document):
    text = json.dumps(document)
    try:
        message = ours(text)
    except InvalidArgument:
        return
    assert serialized(message) == serialized(json_format.Parse(text, ALL()))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_what_google_writes_is_read_as_it_was(seed, original_names, numbers_for_enums):
    message = filled(random.Random(seed), depth=3)
    text = json_format.MessageToJson(
        message, preserving_proto_field_name=original_names, use_integers_for_enums=numbers_for_enums
    )
    assert ours(text) == message
    assert ours(messages.encode(messages.document_of(message)).decode()) == message


def filled(chance: random.Random, depth: int) -> Any:
    """Any message at all."""
    message = ALL()
    fill = [
        lambda: setattr(message, "i64", chance.randrange(-(2**63), 2**63)),
        lambda: setattr(message, "u64", chance.randrange(2**64)),
        lambda: setattr(message, "twice", chance.choice([0.1, -1e300, float("inf"), 5e-324])),
        lambda: setattr(message, "single", chance.choice([0.1, 3.4e38, float("-inf")])),
        lambda: setattr(message, "text_value", chance.choice(["", "é😀", '"\\\n', "\x00"])),
        lambda: setattr(message, "raw", chance.randbytes(chance.randrange(5))),
        lambda: setattr(message, "color", chance.choice([0, 1, 2, 7, -1])),
        lambda: setattr(message, "maybe", 0),
        lambda: message.numbers.extend([1, -(2**63)]),
        lambda: message.by_name.update({chance.choice(["", "a", "é"]): chance.randrange(9)}),
        lambda: message.at.FromNanoseconds(chance.randrange(-(10**18), 10**18)),
        lambda: message.took.FromNanoseconds(chance.randrange(-(10**18), 10**18)),
        lambda: message.struct.update({"a": [1.5, None, {"b": "c"}]}),
        lambda: message.mask.paths.extend(["i32", "text_value"]),
    ]
    if depth:
        fill += [
            lambda: message.inners.add().CopyFrom(filled(chance, depth - 1)),
            lambda: message.by_number[3].CopyFrom(filled(chance, depth - 1)),
            lambda: message.that_one.CopyFrom(filled(chance, depth - 1)),
        ]
    for _ in range(chance.randrange(6)):
        chance.choice(fill)()
    return message
