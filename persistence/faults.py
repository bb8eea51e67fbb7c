"""What can go wrong with PostgreSQL, for the layers above, which know nothing of psycopg:

DatabaseFault
 ├── Away                        not our fault and not the caller's: clients are told `unavailable`
 │    ├── DatabaseUnavailable    no connection, or it was lost before COMMIT was sent: nothing happened
 │    ├── OutcomeUnknown         it was lost after COMMIT was sent: look before you repeat
 │    ├── StatementTimeout       a statement took, or waited, too long and was cancelled by the server
 │    └── Contention             serialization failure or deadlock: repeat the transaction
 └── ConstraintViolation         a constraint or guard, named where it has a name
      └── UniqueViolation        names the constraint or index
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from domain.errors import Unavailable


class DatabaseFault(Exception):
    """Anything PostgreSQL, or the way to it, refuses."""


class Away(DatabaseFault, Unavailable):
    """What PostgreSQL said is for the log, as `str()`; clients are told `message`."""

    told = "the database is not available"

    def __init__(self, reason: str) -> None:
        super().__init__(self.told)
        self.args = (reason,)


class DatabaseUnavailable(Away):
    """Nothing happened."""


class OutcomeUnknown(Away):
    """The transaction may or may not have committed."""

    told = "the database was lost; what was asked for may have been done"


class StatementTimeout(Away):
    """`statement_timeout` passed; the transaction is over and nothing happened."""


class Contention(Away):
    """Somebody else was in the way; nothing happened."""


class ConstraintViolation(DatabaseFault):
    """What was written breaks a rule of the schema."""

    def __init__(self, message: str, constraint: str | None) -> None:
        super().__init__(message)
        self.constraint = constraint


class UniqueViolation(ConstraintViolation):
    """What was written is there already."""


_CONTENTION = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
_AWAY = (
    psycopg.OperationalError,  # class 08, shutdowns, too many connections, lost sockets
    errors.IdleInTransactionSessionTimeout,
    errors.ReadOnlySqlTransaction,  # a primary that has become a standby
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's errors into faults."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error) from error


def translate(error: psycopg.Error) -> DatabaseFault:
    """The fault that an error is."""
    message = str(error).strip()
    if isinstance(error, errors.QueryCanceled):
        return StatementTimeout(message)
    if isinstance(error, _CONTENTION):
        return Contention(message)
    if isinstance(error, errors.UniqueViolation):
        return UniqueViolation(message, error.diag.constraint_name)
    if isinstance(error, psycopg.IntegrityError):
        return ConstraintViolation(message, error.diag.constraint_name)
    if isinstance(error, _AWAY):
        return DatabaseUnavailable(message)
    return DatabaseFault(message)
