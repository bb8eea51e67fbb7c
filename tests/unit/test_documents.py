"""Documents name tests as proof: each of them must be there."""

from __future__ import annotations

import re

from tests.support.service import ROOT

NAMED = re.compile(r"(tests/[\w/]+\.py): (test_\w+)")


def test_every_promise_of_security_is_proved_by_a_test_that_exists():
    document = (ROOT / "docs" / "security.md").read_text()
    promises = [line for line in document.splitlines() if line.startswith("|") and "---" not in line]
    promises = [line for line in promises if line != "| promise | proved by |"]
    assert len(promises) > 20
    for promise in promises:
        named = NAMED.findall(promise)
        assert named, promise
        for path, name in named:
            assert re.search(rf"def {name}\(", (ROOT / path).read_text()), (path, name)
