"""Values of fields that are no messages: from JSON, and from the text of a path or a query.

As https://protobuf.dev/programming-guides/json/ has them, and nothing that would lose anything: no boolean or
fraction for an integer, no number for a string, no bytes with other characters in them. Every function raises
Unfit.
"""

from __future__ import annotations

import binascii
import math
import re
import struct
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,9})?")
_BASE64 = re.compile(r"[A-Za-z0-9+/\-_]*={0,2}")
_URL_SAFE = str.maketrans("-_", "+/")
_FLOAT = struct.Struct("<f")
_NO_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_INT32, _INT64 = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1)
_RANGES = {
    Field.CPPTYPE_INT32: _INT32,
    Field.CPPTYPE_INT64: _INT64,
    Field.CPPTYPE_UINT32: (0, 2**32 - 1),
    Field.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class Unfit(ValueError):
    """A value is none of the field's; says what would be right."""


def from_json(field: Field, value: Any) -> Any:
    """The value of a field, or of one of a repeated field's; numbers with a fraction or exponent are Decimals."""
    return _READERS[field.cpp_type](field, value)


def from_text(field: Field, text: str) -> Any:
    """The value of a field as it stands in a URL: without quotes, enums also by number."""
    if field.cpp_type == Field.CPPTYPE_BOOL:
        if text not in ("true", "false"):
            raise Unfit("must be true or false")
        return text == "true"
    if field.cpp_type == Field.CPPTYPE_ENUM and _NUMBER.fullmatch(text):
        return _enum(field, Decimal(text))
    return from_json(field, text)


def _integer(field: Field, value: Any) -> int:
    lowest, highest = _RANGES[field.cpp_type]
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise Unfit("must be an integer")
        value = int(value) if value.isdecimal() else Decimal(value)
    return _whole(value, lowest, highest)


def _whole(value: Any, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Unfit("must be an integer")
    # An exponent could ask for more digits than there is memory.
    in_range = not isinstance(value, Decimal) or value.adjusted() < 20
    if in_range and value != int(value):
        raise Unfit("must be an integer")
    if not in_range or not lowest <= value <= highest:
        raise Unfit(f"must be {lowest} to {highest}")
    return int(value)


def _floating(field: Field, value: Any) -> float:
    if isinstance(value, str):
        if value in _NO_NUMBERS:
            return _NO_NUMBERS[value]
        if not _NUMBER.fullmatch(value):
            raise Unfit("must be a number")
        value = Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Unfit("must be a number")
    try:
        number = float(value)
        if field.cpp_type == Field.CPPTYPE_FLOAT:
            _FLOAT.pack(number)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise Unfit("is too large a number")
    return number


def _boolean(field: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unfit("must be true or false")
    return value


def _text(field: Field, value: Any) -> str | bytes:
    if not isinstance(value, str):
        raise Unfit("must be a string")
    if field.type == Field.TYPE_BYTES:
        return _bytes(value)
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell
        raise Unfit("must be valid Unicode") from None
    return value


def _bytes(value: str) -> bytes:
    digits = value.rstrip("=")
    padded = digits + "=" * (-len(digits) % 4)
    if _BASE64.fullmatch(value) and value in (digits, padded):
        try:
            return binascii.a2b_base64(padded.translate(_URL_SAFE), strict_mode=True)
        except binascii.Error:
            pass
    raise Unfit("must be base64")


def _enum(field: Field, value: Any) -> int:
    kind = field.enum_type
    assert kind is not None
    if isinstance(value, str):
        if value not in kind.values_by_name:
            raise Unfit(f"is no name of {kind.name}")
        return kind.values_by_name[value].number
    number = _whole(value, *_INT32)
    if kind.is_closed and number not in kind.values_by_number:
        raise Unfit(f"is no number of {kind.name}")
    return number


_READERS: Mapping[int, Callable[[Field, Any], Any]] = {
    **dict.fromkeys(_RANGES, _integer),
    Field.CPPTYPE_DOUBLE: _floating,
    Field.CPPTYPE_FLOAT: _floating,
    Field.CPPTYPE_BOOL: _boolean,
    Field.CPPTYPE_STRING: _text,
    Field.CPPTYPE_ENUM: _enum,
}
