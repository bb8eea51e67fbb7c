"""A headless Chromium, and pages in it that are watched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.support.browser import chromium, opened, watched
from tests.support.service import ServiceProcess


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """One for the module, whose tests can not be asynchronous themselves."""
    with opened(chromium(request.config.cache.mkdir("chromium"))) as running:
        yield running


@pytest.fixture
def context(browser: Browser, service: ServiceProcess) -> Iterator[BrowserContext]:
    """For pages that know of no others, and are watched."""
    with watched(browser, service.http) as context:
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """One such page."""
    return context.new_page()
