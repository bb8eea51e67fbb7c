"""Requests of v2 as hypothesis makes them: mostly nearly right."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from domain.ledger import AMOUNT_MAX
from domain.policy import Role
from domain.validation import RESERVED_USERNAMES
from proto.transactions.v2 import identity_pb2, ledger_pb2

REQUEST_TYPES = [
    message
    for file in (identity_pb2, ledger_pb2)
    for name, message in file.DESCRIPTOR.message_types_by_name.items()
    if name.endswith("Request")
]
ODD = "aZ09_-.@+=?% é\x00\x1f\n\x7f\x85\u00a0\u2003\u2028\u202e\u2066\u3000\ufeff😀"
CHARACTERS = st.sampled_from(ODD) | st.characters(codec="utf-8")
LABELS = st.text(st.sampled_from("aZ9-."), min_size=1, max_size=3) | st.sampled_from(["a" * 63, "a" * 64])
ADDRESSES = st.emails() | st.tuples(
    st.text(st.sampled_from("aZ9.+=?_(é"), max_size=4) | st.sampled_from(["a" * 64, "a" * 65, "a" * 250]),
    st.lists(LABELS, max_size=3).map(".".join),
).map("@".join)
WORDS = st.sampled_from([*RESERVED_USERNAMES, *Role, "alice", "password"])
LONG = st.builds(str.__mul__, CHARACTERS, st.sampled_from([7, 8, 32, 33, 100, 101, 128, 129, 255, 256]))
TEXT = (
    st.text(CHARACTERS, max_size=12) | LONG | WORDS | ADDRESSES | st.from_regex("[0-9]{0,20}", fullmatch=True)
)
EDGES = [0, 1, 100, 1_000, AMOUNT_MAX, 2**31 - 1, 2**63 - 1]


def integers(low: int, high: int) -> st.SearchStrategy[int]:
    near = [sign * (edge + by) for edge in EDGES for by in (-1, 0, 1) for sign in (1, -1)]
    return st.sampled_from([each for each in near if low <= each <= high]) | st.integers(low, high)


BY_TYPE = {
    FieldDescriptor.TYPE_STRING: TEXT,
    FieldDescriptor.TYPE_INT32: integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
}


def values(field: FieldDescriptor) -> st.SearchStrategy:
    """Single values of a field."""
    return BY_TYPE[field.type] if field.message_type is None else requests(field.message_type)


def requests(message: Descriptor) -> st.SearchStrategy:
    """Messages of a type; every field may be unset."""
    fields = {
        field.name: st.lists(values(field), max_size=4) if field.is_repeated else values(field)
        for field in message.fields
    }
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: GetMessageClass(message)(**given))
