"""The API's description as people use it: the main job, done in Swagger UI."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser import watched
from tests.support.service import PASSWORD, ServiceProcess
from tests.support.swagger_ui import SwaggerUi

ALICE = {"username": "alice_in_docs", "password": PASSWORD, "full_name": "Alice", "email": "alice@docs.example"}
PHONE = {"width": 390, "height": 844}


def test_a_customer_does_everything_in_swagger_ui(page: Page, context: BrowserContext, service: ServiceProcess):
    docs = SwaggerUi(page)
    status, user = docs.execute("POST", "/v1/users", ALICE)
    assert (status, user["is_email_verified"]) == (201, False)

    mailed = context.new_page()
    mailed.goto(service.verification_link(ALICE["email"]))
    expect(mailed.get_by_role("heading")).to_have_text("Thank you")
    mailed.close()

    credentials = {name: ALICE[name] for name in ("username", "password")}
    status, login = docs.execute("POST", "/v1/users/login", credentials)
    assert (status, login["user"]["is_email_verified"]) == (200, True)
    docs.authorize(login["access_token"])
    opened = [docs.execute("POST", "/v1/accounts", {"currency": "USD", "name": name}) for name in "AB"]
    assert [status for status, _ in opened] == [201, 201]
    source, target = [account["id"] for _, account in opened]

    docs.authorize(service.login(service.banker()))
    status, _ = docs.execute("POST", "/v1/accounts/{account_id}/deposits", {"amount": 100}, account_id=source)
    assert status == 201

    docs.authorize(login["access_token"])
    transfer = {"from_account_id": source, "to_account_id": target, "amount": 30, "currency": "USD"}
    once, again = [docs.execute("POST", "/v1/transfers", transfer, **{"Idempotency-Key": "rent"}) for _ in "12"]
    assert once == again
    assert (once[0], once[1]["from_account"]["balance"]) == (201, 70)
    status, entries = docs.execute("GET", "/v1/accounts/{account_id}/entries", account_id=target)
    assert status == 200
    assert [(entry["amount"], entry["balance_after"]) for entry in entries["items"]] == [(30, 30)]


def test_a_token_is_forgotten_with_the_page(page: Page, service: ServiceProcess):
    docs = SwaggerUi(page)
    docs.authorize(service.login(service.register()))
    assert docs.is_authorized
    assert page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    page.reload()
    page.locator(".opblock").first.wait_for()
    assert not docs.is_authorized


def test_an_opened_operation_has_an_address(page: Page):
    block = SwaggerUi(page).operation("POST", "/v1/transfers")
    expect(block.locator(".execute")).to_be_visible()
    assert "#/" in page.url
    page.reload()
    expect(block.locator(".execute")).to_be_visible()


def test_the_pages_lead_to_one_another(page: Page):
    page.goto("/docs")
    page.get_by_role("link", name="Database diagram").click()
    expect(page).to_have_title("Database diagram · Transactions API")
    page.get_by_role("link", name="API", exact=True).click()
    expect(page).to_have_title("Transactions API")
    page.get_by_role("link", name="openapi.json", exact=True).first.click()
    assert '"openapi":"3.1' in page.locator("pre").inner_text()


@pytest.mark.parametrize("path", ["/docs", "/docs/schema"])
def test_a_page_is_no_wider_than_a_phone(page: Page, path: str):
    page.set_viewport_size(PHONE)
    page.goto(path)
    page.locator(".opblock, #zoom").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_without_javascript_it_says_where_to_look(browser: Browser, service: ServiceProcess):
    with watched(browser, service.http, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto("/docs")
        expect(page.get_by_text("This page is drawn by JavaScript")).to_be_visible()
        page.get_by_text("openapi.json").last.click()
        expect(page.get_by_text('"openapi":"3.1')).to_be_visible()
