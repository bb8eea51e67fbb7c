"""The pages for people, as HTTP sees them; tests/browser looks at them in a browser."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.support.service import ServiceProcess

TYPES = {
    "/docs": "text/html; charset=utf-8",
    "/docs/schema": "text/html; charset=utf-8",
    "/docs/assets/docs.css": "text/css; charset=utf-8",
    "/docs/assets/favicon.svg": "image/svg+xml; charset=utf-8",
    "/docs/assets/schema.js": "text/javascript; charset=utf-8",
    "/docs/assets/swagger.js": "text/javascript; charset=utf-8",
    "/docs/assets/swagger-ui.css": "text/css; charset=utf-8",
    "/docs/assets/swagger-ui.css.map": "application/json",
    "/docs/assets/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "/favicon.ico": "image/svg+xml; charset=utf-8",
}
SOURCES = re.compile(r"(?:default|script|style|img|connect)-src ([^;]*)")


@pytest.mark.parametrize("path", TYPES)
def test_anybody_may_read_them_and_nothing_else(service: ServiceProcess, path: str):
    got = httpx.get(service.http + path)
    assert (got.status_code, got.headers["content-type"]) == (200, TYPES[path])
    asked = httpx.head(service.http + path)
    assert (asked.status_code, asked.content) == (200, b"")
    assert asked.headers["content-length"] == str(len(got.content))
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        refused = httpx.request(method, service.http + path)
        assert refused.status_code == 405
        assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("path", ["/docs/assets/swagger-ui-bundle.js", "/docs"])
def test_what_has_not_changed_is_not_sent_again(service: ServiceProcess, path: str):
    etag = httpx.get(service.http + path).headers["etag"]
    again = httpx.get(service.http + path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert httpx.get(service.http + path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "name", ["pages.py", "schema.html", "../pages.py", "..%2fpages.py", "%2fetc%2fpasswd", ""]
)
def test_nothing_but_assets_is_read(service: ServiceProcess, name: str):
    response = httpx.get(f"{service.http}/docs/assets/{name}")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/docs", "/docs/schema"])
def test_no_page_may_load_or_ask_anything_of_anybody_else(service: ServiceProcess, path: str):
    policy = httpx.get(service.http + path).headers["content-security-policy"]
    allowed = {source for sources in SOURCES.findall(policy) for source in sources.split()}
    hashes = {source for source in allowed if source.startswith("'sha256-")}
    assert allowed - hashes == {"'none'", "'self'", "data:"}
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
