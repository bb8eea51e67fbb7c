"""The watch over pages sees what it is there for."""

from __future__ import annotations

from contextlib import suppress

import pytest
from playwright.sync_api import Browser, Error

from tests.support.browser import watched
from tests.support.service import ServiceProcess

ELSEWHERE = "http://127.0.0.2:9/"
COMPLAINTS = {
    "console.error('no')": "no",
    "setTimeout(() => { throw new Error('no') }); new Promise(done => setTimeout(done, 100))": "no",
    "fetch('/nothing')": "404",
    f"fetch('{ELSEWHERE}').catch(() => 0)": "Content Security Policy",
}


@pytest.mark.parametrize(("script", "complaint"), COMPLAINTS.items())
def test_a_complaint_is_noticed(browser: Browser, service: ServiceProcess, script: str, complaint: str):
    with (
        pytest.raises(AssertionError, match=f"console.*{complaint}"),
        watched(browser, service.http) as context,
    ):
        page = context.new_page()
        page.goto("/docs/schema")
        page.evaluate(script)


def test_a_request_to_somebody_else_is_noticed(browser: Browser, service: ServiceProcess):
    noticed = pytest.raises(AssertionError, match=f"others than .*{ELSEWHERE}")
    with noticed, watched(browser, service.http) as context, suppress(Error):
        context.new_page().goto(ELSEWHERE)
