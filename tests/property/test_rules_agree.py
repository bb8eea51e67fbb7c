"""Our reading of the validation rules: as the official one's, and never stricter than the domain."""

from __future__ import annotations

import protovalidate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import validation
from domain.errors import InvalidArgument
from proto.transactions.v2 import identity_pb2 as identity
from proto.transactions.v2 import ledger_pb2 as ledger
from tests.support.requests import REQUEST_TYPES, requests, values
from transport.grpc.asked import limit_of
from transport.grpc.rules import FIELD, NOTHING, beyond_rules, compile_rules
from transport.paging import position


def of_page(parse):
    """The words that a page's parameter is refused with."""

    def problem(value):
        try:
            parse(value)
        except InvalidArgument as error:
            return error.fields[0].message
        return None

    return problem


LIMIT = of_page(limit_of)
CURSOR = of_page(lambda cursor: position(cursor or None, 0))
RULED = [
    (identity.CreateUserRequest, "username", validation.username),
    (identity.CreateUserRequest, "password", validation.password),
    (identity.CreateUserRequest, "full_name", validation.full_name),
    (identity.CreateUserRequest, "email", validation.email),
    (identity.UpdateUserRequest, "full_name", validation.full_name),
    (identity.UpdateUserRequest, "email", validation.email),
    (identity.UpdateUserRequest, "password", validation.password),
    (identity.GrantRolesRequest, "roles", validation.role),
    (identity.ResendVerificationRequest, "email", validation.email),
    (identity.RequestPasswordResetRequest, "email", validation.email),
    (identity.ConfirmPasswordResetRequest, "password", validation.password),
    (identity.ListSecurityEventsRequest, "username", lambda name: validation.username(name) if name else None),
    (ledger.ListAccountsRequest, "owner", lambda name: validation.username(name) if name else None),
    (identity.ListSecurityEventsRequest, "limit", LIMIT),
    (identity.ListSecurityEventsRequest, "cursor", CURSOR),
    (ledger.CreateAccountRequest, "name", validation.account_name),
    (ledger.CreateAccountRequest, "currency", lambda code: validation.currency(code, CURRENCIES)),
    (ledger.ListAccountsRequest, "limit", LIMIT),
    (ledger.ListAccountsRequest, "cursor", CURSOR),
    (ledger.ListEntriesRequest, "limit", LIMIT),
    (ledger.ListEntriesRequest, "cursor", CURSOR),
    (ledger.DepositRequest, "amount", validation.amount),
    (ledger.WithdrawRequest, "amount", validation.amount),
    (ledger.CreateTransferRequest, "from_account_id", validation.identifier),
    (ledger.CreateTransferRequest, "to_account_id", validation.identifier),
    (ledger.CreateTransferRequest, "amount", validation.amount),
    (ledger.CreateTransferRequest, "currency", lambda code: validation.currency(code, CURRENCIES)),
    (ledger.TransferOrder, "from_account_id", validation.identifier),
    (ledger.TransferOrder, "to_account_id", validation.identifier),
    (ledger.TransferOrder, "amount", validation.amount),
    (ledger.TransferOrder, "idempotency_key", lambda key: validation.idempotency_key(key) if key else None),
]
# Of requests as such, and of nothing that the domain knows.
RULED_BY_THE_FILE_ALONE = {"transfers", "transfer", "reference", "after_seq"}


CURRENCIES = ("CAD", "EUR", "USD")
BEYOND = beyond_rules(CURRENCIES)


def our_findings(message, beyond=NOTHING):
    check = compile_rules(message.DESCRIPTOR, beyond)
    return () if check is None else check(message)


def of_field(name, findings):
    return [error.message for error in findings if error.field.partition("[")[0] == name]


def their_findings(message):
    """The fields that the official library refuses, as paths."""
    return {
        ".".join(
            f"{each.field_name}[{each.subscript.value}]" if each.subscript else each.field_name
            for each in violation.proto.field.elements
        )
        for violation in protovalidate.collect_violations(message)
    }


@pytest.mark.parametrize(
    "message_type", [*REQUEST_TYPES, ledger.TransferOrder.DESCRIPTOR], ids=lambda message: message.name
)
@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_the_official_library_refuses_the_same_fields(message_type, data):
    message = data.draw(requests(message_type))
    assert {error.field for error in our_findings(message)} == their_findings(message)


@pytest.mark.parametrize(("message_type", "name", "problem"), RULED)
@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_what_a_rule_refuses_the_domain_refuses_in_the_same_words(message_type, name, problem, data):
    field = message_type.DESCRIPTOR.fields_by_name[name]
    value = data.draw(values(field))
    message = message_type(**{name: [value] if field.is_repeated else value})
    said = problem(value)
    domains = [] if said is None else [said]
    assert of_field(name, our_findings(message)) in ([], domains)
    assert of_field(name, our_findings(message, BEYOND)) == domains


def test_every_rule_is_compared_with_the_domain():
    compared = {(message_type.DESCRIPTOR.name, name) for message_type, name, _ in RULED}
    ruled = {
        (message.name, field.name)
        for message in [*REQUEST_TYPES, ledger.TransferOrder.DESCRIPTOR]
        for field in message.fields
        if field.GetOptions().HasExtension(FIELD) or field.full_name in BEYOND
        if field.name not in RULED_BY_THE_FILE_ALONE
    }
    assert ruled == compared
