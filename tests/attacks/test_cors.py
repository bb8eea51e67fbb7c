"""Whose pages may use the API: exactly those that ALLOWED_ORIGINS names."""

from __future__ import annotations

import httpx
import pytest

from tests.support.service import ServiceProcess

OURS = "https://bank.example"


@pytest.fixture(scope="module")
def open_to_one(postgres_server, redis_server, migrated_template, tmp_path_factory):
    postgres_server.create_database("cors", template=migrated_template)
    service = ServiceProcess(
        tmp_path_factory.mktemp("cors"),
        postgres_server.url("cors"),
        redis_server.url.replace("db=0", "db=3"),
        ALLOWED_ORIGINS=f"{OURS}, http://localhost:5173",
        PUBLIC_URL="https://bank.example",
    ).start()
    yield service
    assert service.stop() == 0


def preflight(service: ServiceProcess, origin: str, path: str = "/v1/transfers") -> httpx.Response:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return httpx.options(service.http + path, headers=headers)


@pytest.mark.parametrize("origin", [OURS, "http://localhost:5173"])
def test_pages_of_an_allowed_origin_may_use_the_api(open_to_one, origin):
    asked = preflight(open_to_one, origin)
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == origin
    assert "PATCH" in asked.headers["access-control-allow-methods"]
    assert "Idempotency-Key" in asked.headers["access-control-allow-headers"]
    used = httpx.get(f"{open_to_one.http}/v1/accounts", headers={"Origin": origin})
    assert used.status_code == 401  # who is asking is another question
    assert used.headers["access-control-allow-origin"] == origin
    assert used.headers["vary"] == "Origin"
    assert "Retry-After" in used.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in used.headers


def test_they_may_use_the_gateway_too(open_to_one):
    headers = {"Origin": OURS, "Access-Control-Request-Method": "PUT"}
    asked = httpx.options(f"{open_to_one.http}/v2/users/alice/roles", headers=headers)
    assert asked.status_code == 204
    assert "PUT" in asked.headers["access-control-allow-methods"]
    for path, status in (("/v2/accounts", 401), ("/v2/nothing", 404)):
        used = httpx.get(open_to_one.http + path, headers={"Origin": OURS})
        assert used.status_code == status
        assert used.headers["access-control-allow-origin"] == OURS
        assert "Error-Code" in used.headers["access-control-expose-headers"]
    evil = httpx.get(f"{open_to_one.http}/v2/accounts", headers={"Origin": "https://evil.example"})
    assert not [name for name in evil.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://bank.example.evil.example",
        "https://evilbank.example",
        "http://bank.example",
        "https://bank.example:444",
        "https://bank.example/",
        "https://BANK.example",
        "null",
        "*",
        "",
    ],
)
def test_pages_of_any_other_may_not(open_to_one, origin):
    asked = preflight(open_to_one, origin)
    assert asked.status_code == 405
    used = httpx.get(f"{open_to_one.http}/healthz", headers={"Origin": origin})
    for response in (asked, used):
        assert not [name for name in response.headers if name.startswith("access-control-")]
        assert response.headers["vary"] == "Origin"


def test_a_service_that_names_nobody_says_nothing_of_it(service):
    for response in (preflight(service, OURS), httpx.get(f"{service.http}/healthz", headers={"Origin": OURS})):
        assert not [name for name in response.headers if name.startswith("access-control-")]


def test_a_public_url_with_https_is_told_to_browsers(open_to_one):
    response = httpx.get(f"{open_to_one.http}/healthz")
    assert int(response.headers["strict-transport-security"].removeprefix("max-age=")) > 31_000_000
