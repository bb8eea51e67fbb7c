"""What the links in mails lead to, followed in a browser."""

from __future__ import annotations

import httpx
from playwright.sync_api import Page, expect

from tests.attacks.asking import RESET, asking
from tests.support.service import ServiceProcess, link_in

NEW_PASSWORD = "another correct horse"


def test_an_address_is_verified(page: Page, service: ServiceProcess):
    name = service.register(verified=False)
    page.goto(service.verification_link(f"{name}@example.com"))
    expect(page.get_by_role("heading")).to_have_text("Thank you")
    user = service.client(name).get(f"/v1/users/{name}").json()
    assert user["is_email_verified"]


def test_a_forgotten_password_is_replaced(page: Page, service: ServiceProcess):
    name = service.register()
    address = f"{name}@example.com"
    httpx.post(f"{service.http}/v1/users/password_reset", json={"email": address})
    with asking(service) as asked:
        page.goto(link_in(asked.mails(address, RESET)[-1]))
    page.get_by_label("New password").fill(NEW_PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("heading")).to_have_text("Thank you")
    credentials = {"username": name, "password": NEW_PASSWORD}
    assert httpx.post(f"{service.http}/v1/users/login", json=credentials).status_code == 200
