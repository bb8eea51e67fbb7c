"""Which statuses an operation may be answered with, by what it is."""

from __future__ import annotations

from domain.policy import PUBLIC, Operation

OURS = {500, 503, 504}
WITH_BODY = {400, 408, 413, 429}
TAKES_KEY = {
    Operation.CREATE_ACCOUNT,
    Operation.DEPOSIT,
    Operation.WITHDRAW,
    Operation.CREATE_TRANSFER,
    Operation.BATCH_TRANSFERS,
}
"""Moves money or opens an account: what a request may be repeated for."""
_TAKES_CREDENTIALS = {Operation.LOGIN_USER, Operation.RENEW_ACCESS}
_MAY_BE_TAKEN = {Operation.CREATE_USER, Operation.UPDATE_USER}
_ABOUT_WHAT_MAY_NOT_BE_THERE = {
    Operation.VERIFY_EMAIL,
    Operation.CONFIRM_PASSWORD_RESET,
    Operation.LIST_ACCOUNTS,
    Operation.CREATE_TRANSFER,
    Operation.BATCH_TRANSFERS,
}


def refusals(operation: Operation, *, has_body: bool, names_something: bool) -> set[int]:
    """The statuses of what goes wrong. With `names_something` its path says what it is about."""
    statuses = OURS | (WITH_BODY if has_body else set())
    if operation not in PUBLIC or operation in _TAKES_CREDENTIALS:
        statuses |= {401, 403}
    if names_something or operation in _ABOUT_WHAT_MAY_NOT_BE_THERE:
        statuses |= {404}
    if operation in _MAY_BE_TAKEN:
        statuses |= {409}
    return statuses
