"""What each business refusal means, in words for people; programs read the code."""

from __future__ import annotations

from domain.errors import Code

REFUSALS = {
    Code.INSUFFICIENT_FUNDS: "the source account's available balance is lower than the amount",
    Code.CURRENCY_MISMATCH: "both accounts must be in the transfer's currency",
    Code.SAME_ACCOUNT: "source and target are the same account",
    Code.ACCOUNT_CLOSED: "an account of this transfer is closed",
    Code.ACCOUNT_FROZEN: "an account of this transfer is frozen",
    Code.NOT_FOUND: "account not found",
    Code.IDEMPOTENCY_KEY_REUSED: "this idempotency key was used for a different request",
    Code.INVALID_ARGUMENT: "a balance would become larger than the ledger can hold",
}
