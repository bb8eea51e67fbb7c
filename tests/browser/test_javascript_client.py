"""The example in JavaScript, in a page of a real browser."""

from __future__ import annotations

from playwright.sync_api import Browser

from tests.support.browser import watched
from tests.support.examples import FUNDS, examples, make_alice
from tests.support.service import ServiceProcess


def test_the_javascript_example_moves_the_money_it_speaks_of(
    browser: Browser, database_url, redis_url, tmp_path
):
    service = ServiceProcess(tmp_path, database_url, redis_url).start()
    make_alice(service)
    (program,) = examples("js", "docs/clients.md")
    with watched(browser, service.http) as context:
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto("/docs/schema")
        page.evaluate("async () => {" + program.replace("http://127.0.0.1:8080", service.http) + "}")
    assert len(said) == 1
    assert said[0].startswith("transfer ")
    assert said[0].endswith(f" leaves {FUNDS - 250}")
    assert service.stop() == 0
