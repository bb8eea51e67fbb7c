"""The shares of a drain: one budget, never overdrawn."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.drain import DrainTimes


@given(grace_s=st.floats(2, 86_400))
def test_the_parts_of_a_drain_are_the_grace_together(grace_s):
    times = DrainTimes.within(grace_s)
    assert sum(astuple(times)) == pytest.approx(grace_s)
    assert times.process_s + times.embedded_s == pytest.approx(grace_s)
    assert min(astuple(times)) > 0
    assert times.listen_s <= 0.5
