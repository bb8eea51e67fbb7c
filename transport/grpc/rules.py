"""The validation rules of the .proto files, read once and turned into checks of messages.

They are protovalidate's options, those few that the vendored buf/validate/validate.proto has, and mean here what
they mean there. What a rule refuses `domain.validation` refuses too, in the same words where it has some: rules
let clients know beforehand, and let a bad request fail early.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from domain import validation
from domain.errors import FieldError
from transport.paging import CURSOR

from proto.buf.validate import validate_pb2  # isort: skip

Checker = Callable[[Any], tuple[FieldError, ...]]
"""Says what is wrong with a message: of each bad field, and each bad item, the first thing that is."""

Faults = tuple[tuple[str, str], ...]
"""Where within a value, as the rest of a path, and what is wrong there."""
Check = Callable[[Any], Faults]
Test = tuple[Callable[[Any], object], str]
"""What must be true of a value, and what is said where it is not."""
Problem = Callable[[Any], str | None]
"""What is wrong with a value, as `domain.validation` says it."""

FIELD: Any = validate_pb2.field
RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
# https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
EMAIL = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})*")
PLAIN = re.compile(r"\^(?:[^\\|$]|\\x[0-9a-f]{2})*\$")
"""Expressions that Python reads as RE2 does."""

CHARACTERS = {validation.PRINTABLE: "printable characters", validation.NAMED: "printable characters"}
WORDS = {
    validation.USERNAME: "must be 3 to 32 characters of a-z, 0-9 and _",
    validation.WITHOUT_NUL: "must not contain NUL",
    validation.KEY: "must be 1 to 255 printable characters",
    CURSOR: "must be one that a page returned",
}


NOTHING: Mapping[str, Problem] = {}


def beyond_rules(currencies: Collection[str]) -> Mapping[str, Problem]:
    """What no rule can say, by the full names of fields: so that a request is told of all its bad fields at once."""
    currency = partial(validation.currency, allowed=currencies)
    problems: dict[str, Problem] = {
        "CreateUserRequest.password": validation.password,
        "CreateUserRequest.email": validation.email,
        "UpdateUserRequest.password": validation.password,
        "UpdateUserRequest.email": validation.email,
        "ResendVerificationRequest.email": validation.email,
        "RequestPasswordResetRequest.email": validation.email,
        "ConfirmPasswordResetRequest.password": validation.password,
        "CreateAccountRequest.currency": currency,
        "CreateTransferRequest.currency": currency,
    }
    return {f"transactions.v2.{name}": problem for name, problem in problems.items()}


def compile_rules(message: Descriptor, beyond: Mapping[str, Problem] = NOTHING) -> Checker | None:
    """A check of messages of this type, or None where nothing is asked of them.

    Of its own fields it also says what is wrong `beyond` the rules. Raises ValueError for a rule that is not
    understood here.
    """
    fields = [_field(field, beyond.get(field.full_name)) for field in message.fields]
    checks = [check for check in fields if check is not None]
    if not checks:
        return None

    def checker(value: Message) -> tuple[FieldError, ...]:
        errors: tuple[FieldError, ...] = ()
        for check in checks:
            errors += check(value)
        return errors

    return checker


def integer_bounds(kind: str, rules: Any) -> tuple[int, int]:
    """The least and the greatest that the rules of an integer of this kind accept."""
    _understand(rules, "gt", "gte", "lte")
    low, high = RANGES[kind]
    match rules.WhichOneof("greater_than"):
        case "gt":
            low = rules.gt + 1
        case "gte":
            low = rules.gte
    return low, rules.lte if rules.HasField("lte") else high


def _field(field: FieldDescriptor, beyond: Problem | None) -> Checker | None:
    check = _check(field.GetOptions().Extensions[FIELD], field.message_type, is_list=field.is_repeated)
    if beyond is not None:
        check = _and_then(check, beyond)
    if check is None:
        return None
    name, may_be_unset = field.name, field.has_presence

    def checker(message: Message) -> tuple[FieldError, ...]:
        if may_be_unset and not message.HasField(name):
            return ()
        faults = check(getattr(message, name))
        return tuple(FieldError(name + where, words) for where, words in faults) if faults else ()

    return checker


def _and_then(check: Check | None, beyond: Problem) -> Check:
    def both(value: Any) -> Faults:
        faults = check(value) if check is not None else ()
        words = None if faults else beyond(value)
        return faults if words is None else (("", words),)

    return both


def _check(rules: validate_pb2.FieldRules, message: Descriptor | None, *, is_list: bool) -> Check | None:
    """The check of a value that is set; `message` is its type, or its items', where that is one."""
    if rules.ignore == validate_pb2.IGNORE_ALWAYS:
        return None
    check = _list(rules, message) if is_list else _single(rules, message)
    if check is None or rules.ignore != validate_pb2.IGNORE_IF_ZERO_VALUE:
        return check
    return lambda value: check(value) if value else ()


def _single(rules: validate_pb2.FieldRules, message: Descriptor | None) -> Check | None:
    _understand(rules, "ignore", *RANGES, "string")
    match rules.WhichOneof("type"):
        case "string":
            return _first_of(_string_tests(rules.string))
        case "int32" | "int64" as kind:
            return _first_of([_integer_test(kind, getattr(rules, kind))])
    checker = None if message is None else compile_rules(message)
    if checker is None:
        return None
    return lambda value: tuple((f".{error.field}", error.message) for error in checker(value))


def _list(rules: validate_pb2.FieldRules, message: Descriptor | None) -> Check | None:
    _understand(rules, "ignore", "repeated")
    _understand(rules.repeated, "min_items", "max_items", "items")
    low, high = _bounds(rules.repeated, "items")
    size = None if (low, high) == (0, None) else _first_of([_length_test(low, high, "")])
    item = _check(rules.repeated.items, message, is_list=False)
    if item is None:
        return size
    if message is not None and message.GetOptions().map_entry:
        raise ValueError(f"{message.full_name}: rules within a map are not understood")

    def check(values: Sequence[Any]) -> Faults:
        wrong = size(values) if size is not None else ()
        return wrong or tuple(
            (f"[{position}]{where}", words)
            for position, value in enumerate(values)
            for where, words in item(value)
        )

    return check


def _first_of(tests: Sequence[Test]) -> Check:
    """In this order: what is too long is not searched."""
    answers = [(passes, (("", words),)) for passes, words in tests]

    def check(value: Any) -> Faults:
        for passes, faults in answers:
            if not passes(value):
                return faults
        return ()

    return check


def _integer_test(kind: str, rules: Message) -> Test:
    low, high = integer_bounds(kind, rules)
    words = f"must be between {low} and {high}"
    if high == RANGES[kind][1]:
        words = {0: "must not be negative", 1: f"must be a positive {kind[3:]}-bit integer"}.get(
            low, f"must be at least {low}"
        )
    return range(low, high + 1).__contains__, words


def _string_tests(rules: validate_pb2.StringRules) -> list[Test]:
    _understand(rules, "min_len", "max_len", "pattern", "in", "not_in", "email")
    pattern, accepted, refused = rules.pattern, list(getattr(rules, "in")), list(rules.not_in)
    length = _length_test(*_bounds(rules, "len"), f" {CHARACTERS.get(pattern, 'characters')}")
    tests = [length]
    if rules.email:
        tests = [(length[0], "must be an email address"), (EMAIL.fullmatch, "must be an email address")]
    if pattern:
        if not PLAIN.fullmatch(pattern):
            raise ValueError(f"{pattern}: not an expression that everybody reads alike")
        words = length[1] if pattern in CHARACTERS else WORDS.get(pattern, f"must match {pattern}")
        tests.append((re.compile(pattern).fullmatch, words))
    if accepted:
        tests.append((accepted.__contains__, f"must be one of {', '.join(accepted)}"))
    if refused:
        tests.append((lambda value: value not in refused, "is reserved"))
    return tests


def _length_test(low: int, high: int | None, of: str) -> Test:
    if high is None:
        return lambda value: len(value) >= low, f"must be at least {low}{of}"
    words = f"must be {low} to {high}{of}" if low else f"must be at most {high}{of}"
    return lambda value: low <= len(value) <= high, words


def _bounds(rules: Any, of: str) -> tuple[int, int | None]:
    high = f"max_{of}"
    return getattr(rules, f"min_{of}"), getattr(rules, high) if rules.HasField(high) else None


def _understand(rules: Message, *names: str) -> None:
    """These rules and no others may be set."""
    unknown: Any = UnknownFieldSet(rules)
    strange = [field.name for field, _ in rules.ListFields() if field.name not in names]
    strange += [f"number {field.field_number}" for field in unknown]
    if strange:
        raise ValueError(f"{rules.DESCRIPTOR.full_name}: {', '.join(strange)} not understood")
