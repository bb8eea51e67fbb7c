"""Everything that can be answered instead of success, and how a client may tell it apart.

Two kinds, never mixed. A *refusal* is what a bank expects (insufficient funds, same account): a value, a
`Code`, decided by a pure function. A *fault* is what nobody wants (bad input, an expired token, a database
that is away): an exception under `ServiceError`:

    ServiceError
     ├── InvalidArgument       the request itself; names the fields
     ├── Unauthenticated       code says which: no credentials, invalid or expired token, ended session
     ├── PermissionDenied      code says which: not allowed, or email not verified
     ├── NotFound              not there, or not yours: nobody learns which
     ├── AlreadyExists
     ├── KeyReused             the idempotency key came before with another body
     ├── RateLimited           too often; come back after `retry_after_s`
     ├── Overloaded            a bound was reached; come back after `retry_after_s`
     ├── Unavailable           the database is away, or we are shutting down (code says which)
     └── DeadlineExceeded      the caller's time ran out before the work was done

Anything else that is raised is a defect: transports answer `internal` with a request id and nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """The stable `code` of CONTRACT's error table; transports map it to a status, and to nothing else."""

    INVALID_ARGUMENT = "invalid_argument"
    UNAUTHENTICATED = "unauthenticated"
    INVALID_TOKEN = "invalid_token"
    TOKEN_EXPIRED = "token_expired"
    SESSION_REVOKED = "session_revoked"
    PERMISSION_DENIED = "permission_denied"
    EMAIL_NOT_VERIFIED = "email_not_verified"
    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    CURRENCY_MISMATCH = "currency_mismatch"
    SAME_ACCOUNT = "same_account"
    ACCOUNT_CLOSED = "account_closed"
    ACCOUNT_FROZEN = "account_frozen"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    SHUTTING_DOWN = "shutting_down"
    UNAVAILABLE = "unavailable"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One bad field of a request, and what would be right, in words for the person who sent it."""

    field: str
    message: str


class ServiceError(Exception):
    """A fault with a code a client may rely on and a message a person may read; `fields` says where it is."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        retry_after_s: int | None = None,
        fields: tuple[FieldError, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s
        self.fields = fields


class InvalidArgument(ServiceError):
    """The request is wrong in itself."""

    def __init__(self, message: str, fields: tuple[FieldError, ...] = ()) -> None:
        super().__init__(Code.INVALID_ARGUMENT, message, fields=fields)

    @classmethod
    def field(cls, name: str, message: str) -> InvalidArgument:
        """The error of a single bad field."""
        return cls(f"{name}: {message}", (FieldError(name, message),))


class Unauthenticated(ServiceError):
    """Nobody is known to have sent this."""

    def __init__(self, message: str, code: Code = Code.UNAUTHENTICATED) -> None:
        super().__init__(code, message)


class PermissionDenied(ServiceError):
    """Known, and not allowed."""

    def __init__(self, message: str, code: Code = Code.PERMISSION_DENIED) -> None:
        super().__init__(code, message)


class NotFound(ServiceError):
    """Not there, or not the caller's: the answer is the same."""

    def __init__(self, what: str) -> None:
        super().__init__(Code.NOT_FOUND, f"{what} not found")


class AlreadyExists(ServiceError):
    """Something with this unique name is there already."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.ALREADY_EXISTS, message)


class KeyReused(ServiceError):
    """The caller used this idempotency key before, for something else."""

    def __init__(self) -> None:
        super().__init__(Code.IDEMPOTENCY_KEY_REUSED, "this idempotency key was used for a different request")


class RateLimited(ServiceError):
    """The caller does this too often; nothing was done."""

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(Code.RATE_LIMITED, "too many attempts, try again later", retry_after_s=retry_after_s)


class Overloaded(ServiceError):
    """A bound (mailbox, limiter) was reached; nothing was done."""

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(Code.OVERLOADED, message, retry_after_s=retry_after_s)


class Unavailable(ServiceError):
    """Something we need is away, or we are on our way out; nothing was done unless the key says otherwise."""

    def __init__(self, message: str, code: Code = Code.UNAVAILABLE, *, retry_after_s: int = 1) -> None:
        super().__init__(code, message, retry_after_s=retry_after_s)


class DeadlineExceeded(ServiceError):
    """The caller's time ran out."""

    def __init__(self, message: str = "the deadline passed before the work was done") -> None:
        super().__init__(Code.DEADLINE_EXCEEDED, message)
