"""Request ids: unique, cheap, and meaningless to anybody but our log."""

from __future__ import annotations

import secrets
from itertools import count

_process = secrets.token_hex(6)
_numbers = count(1)


def new_request_id() -> str:
    """The next id: a random process prefix and a running number."""
    return f"{_process}-{next(_numbers)}"
