"""Swagger UI as a person uses it: open an operation, fill in, execute, read what came back."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Locator, Page


class SwaggerUi:
    """The one at /docs, on a page."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.goto("/docs")
        page.locator(".opblock").first.wait_for()

    def operation(self, method: str, path: str) -> Locator:
        """An operation's block, opened."""
        block = self._page.locator(f'.opblock-{method.lower()}:has([data-path="{path}"])')
        if not block.locator(".opblock-body").is_visible():
            block.locator(".opblock-summary-control").click()
        return block

    def execute(
        self, method: str, path: str, body: dict[str, Any] | None = None, **parameters: object
    ) -> tuple[int, Any]:
        """Send a request that is filled in like this; the status and the document that are shown after it."""
        block = self.operation(method, path)
        for name, value in parameters.items():
            block.locator(f'[data-param-name="{name}"] input').fill(str(value))
        if body is not None:
            block.locator("textarea.body-param__text").fill(json.dumps(body))
        block.locator(".execute").click()
        answer = block.locator(".live-responses-table .response")
        status = answer.locator(".response-col_status").inner_text()
        shown = answer.locator(".response-col_description pre").first.inner_text()
        block.locator(".btn-clear").click()
        answer.wait_for(state="detached")
        return int(status.split()[0]), json.loads(shown)

    def authorize(self, token: str) -> None:
        """Send this token from now on, and no other."""
        self._page.locator(".auth-wrapper .authorize").click()
        dialog = self._page.locator(".modal-ux")
        if self.is_authorized:
            dialog.get_by_role("button", name="Remove authorization").click()
        dialog.get_by_label("auth-bearer-value").fill(token)
        dialog.get_by_role("button", name="Apply credentials").click()
        dialog.get_by_role("button", name="Close").click()

    @property
    def is_authorized(self) -> bool:
        """Whether a token is sent."""
        return self._page.locator(".auth-wrapper .authorize.locked").is_visible()
