"""Whom the attacks ask: the session's one service, over either transport."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.asking import Ask, Asking, asking
from tests.support.service import ServiceProcess


@pytest.fixture(scope="module")
def asked(service: ServiceProcess) -> Iterator[Asking]:
    with asking(service) as asked:
        yield asked


@pytest.fixture(params=["http", "grpc"])
def ask(request: pytest.FixtureRequest, asked: Asking) -> Ask:
    """Either way in."""
    return getattr(asked, request.param)
