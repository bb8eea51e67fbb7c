"""Whose money a load moves between which accounts; made by `prepare`, or read from a file."""

from __future__ import annotations

import json
import os
import random
from dataclasses import asdict, dataclass
from pathlib import Path

FILE_MODE = 0o600


class PlanError(Exception):
    """One line for a person: the file is no plan."""


@dataclass(frozen=True, slots=True)
class Plan:
    """In hot mode every transfer leaves the first account; amounts are minor units."""

    token: str
    accounts: list[int]
    currency: str
    hot: bool
    amount: int = 1
    keys: str | None = None
    """Prefix of the idempotency keys that go with every transfer; None for none."""

    @classmethod
    def read(cls, path: Path) -> Plan:
        """From a file that `write` wrote, or of the same four members. Raises PlanError."""
        try:
            members = json.loads(path.read_text())
            plan = cls(members["token"], members["accounts"], members["currency"], bool(members["hot"]))
        except OSError as error:
            raise PlanError(str(error)) from error
        except (ValueError, KeyError, TypeError) as error:
            raise PlanError(f"{path}: not a plan: {error!r}") from error
        plan.check(path)
        return plan

    def check(self, path: Path) -> None:
        """Raises PlanError for members of a wrong kind."""
        texts = isinstance(self.token, str) and isinstance(self.currency, str)
        numbers = isinstance(self.accounts, list) and all(type(each) is int for each in self.accounts)
        if not texts or not numbers or not (self.token + self.currency).isascii():
            raise PlanError(f"{path}: not a plan: token, accounts or currency is of a wrong kind")
        if len(set(self.accounts)) < 2 or min(self.accounts) < 1:
            raise PlanError(f"{path}: a plan needs two accounts at least, with positive ids")

    def write(self, path: Path) -> None:
        """To a file that only its owner may read, as the token is in it."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, FILE_MODE)  # a file that was there keeps its mode otherwise
            json.dump(asdict(self), file)

    def pair(self, rng: random.Random) -> tuple[int, int]:
        """A source and another account."""
        accounts = self.accounts
        source = 0 if self.hot else int(rng.random() * len(accounts))
        target = int(rng.random() * (len(accounts) - 1))
        return accounts[source], accounts[target + (target >= source)]
