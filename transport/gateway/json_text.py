"""JSON as it stands in a body: strict UTF-8, nothing lost.

An object is an `Object`, its members in their order, those of one name side by side: whether two of them are one field
is for whoever knows the fields. A number with a fraction or an exponent is a Decimal.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from domain.errors import InvalidArgument


class Object(tuple[tuple[str, Any], ...]):
    """Names and values."""

    __slots__ = ()


def decode(raw: bytes) -> Any:
    """The value that a body is; raises InvalidArgument."""
    try:
        return _DECODER.decode(raw.decode())
    except RecursionError:
        raise InvalidArgument("the body is nested too deeply") from None
    except UnicodeDecodeError:
        raise InvalidArgument("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise InvalidArgument(f"the body is not valid JSON: {error}") from None
    except ValueError:
        raise InvalidArgument("the body has a number that is none, or is too long") from None


def _fraction(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("its exponent is too long") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=Object, parse_float=_fraction, parse_constant=_refuse_constant)
