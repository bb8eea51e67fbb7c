"""The main job, end to end, as a client of HTTP sees it."""

from __future__ import annotations

import httpx
import pytest

from tests.support.service import PASSWORD, ServiceProcess


@pytest.fixture(scope="module")
def banker(service: ServiceProcess) -> httpx.Client:
    return service.client(service.banker())


@pytest.fixture
def alice(service: ServiceProcess) -> httpx.Client:
    return service.client(service.register())


@pytest.fixture
def bob(service: ServiceProcess) -> httpx.Client:
    return service.client(service.register())


def funded(owner: httpx.Client, banker: httpx.Client, amount: int = 1000, currency: str = "USD") -> int:
    account = owner.post("/v1/accounts", json={"currency": currency}).json()
    if amount:
        response = banker.post(f"/v1/accounts/{account['id']}/deposits", json={"amount": amount})
        assert response.status_code == 201, response.text
        assert response.json()["account"]["balance"] == amount
    return account["id"]


def transfer(client: httpx.Client, source: int, target: int, amount: int = 10, currency="USD", key=None):
    body = {"from_account_id": source, "to_account_id": target, "amount": amount, "currency": currency}
    return client.post("/v1/transfers", json=body, headers={"Idempotency-Key": key} if key else {})


def test_money_moves_between_two_people(alice, bob, banker):
    source, target = funded(alice, banker), funded(bob, banker, 0)
    response = transfer(alice, source, target, 300)
    assert response.status_code == 201
    made = response.json()
    assert made["transfer"]["amount"] == 300
    assert made["from_account"]["balance"] == made["from_entry"]["balance_after"] == 700
    assert "to_account" not in made
    assert bob.get(f"/v1/accounts/{target}").json()["balance"] == 300
    entries = alice.get(f"/v1/accounts/{source}/entries").json()["items"]
    assert [(entry["seq"], entry["amount"]) for entry in entries] == [(2, -300), (1, 1000)]
    for reader in (alice, bob, banker):
        assert reader.get(f"/v1/transfers/{made['transfer']['id']}").json() == made["transfer"]


def test_a_stranger_learns_nothing(alice, bob, banker, service):
    source, target = funded(alice, banker), funded(bob, banker)
    made = transfer(alice, source, target).json()["transfer"]
    stranger = service.client(service.register())
    for path in (f"/v1/accounts/{source}", f"/v1/accounts/{source}/entries", f"/v1/transfers/{made['id']}"):
        hidden, missing = stranger.get(path), stranger.get("/v1/accounts/999999999")
        assert hidden.status_code == missing.status_code == 404
        assert hidden.json()["code"] == "not_found"
    assert transfer(stranger, source, target).json()["code"] == "not_found"
    assert transfer(alice, source, 999999999).json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("change", "code", "status"),
    [
        ({"amount": 1001}, "insufficient_funds", 422),
        ({"currency": "EUR"}, "currency_mismatch", 422),
        ({"amount": 0}, "invalid_argument", 400),
        ({"amount": -5}, "invalid_argument", 400),
        ({"currency": "XYZ"}, "invalid_argument", 400),
    ],
)
def test_a_refused_transfer_says_why_and_moves_nothing(alice, bob, banker, change, code, status):
    source, target = funded(alice, banker), funded(bob, banker, 0)
    body = {"from_account_id": source, "to_account_id": target, "amount": 10, "currency": "USD", **change}
    response = alice.post("/v1/transfers", json=body)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert alice.get(f"/v1/accounts/{source}").json()["balance"] == 1000


def test_same_account_is_refused(alice, banker):
    source = funded(alice, banker)
    assert transfer(alice, source, source).json()["code"] == "same_account"


def test_a_key_moves_money_once_and_replays_the_first_answer(alice, bob, banker):
    source, target = funded(alice, banker), funded(bob, banker, 0)
    first = transfer(alice, source, target, key="k1")
    transfer(alice, source, target)
    again = transfer(alice, source, target, key="k1")
    assert again.status_code == first.status_code == 201
    assert again.json() == first.json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    reused = transfer(alice, source, target, 11, key="k1")
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    assert alice.get(f"/v1/accounts/{source}").json()["balance"] == 980


def test_a_key_replays_a_refusal_and_belongs_to_its_user(alice, bob, banker):
    source, target = funded(alice, banker), funded(bob, banker)
    refused = transfer(alice, source, target, 5000, key="k")
    assert refused.json()["code"] == "insufficient_funds"
    banker.post(f"/v1/accounts/{source}/deposits", json={"amount": 9000})
    again = transfer(alice, source, target, 5000, key="k")
    assert again.json() == refused.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert transfer(bob, target, source, 10, key="k").status_code == 201


def test_an_account_is_opened_once_per_key(alice):
    headers = {"Idempotency-Key": "open"}
    first = alice.post("/v1/accounts", json={"currency": "EUR", "name": "Holiday"}, headers=headers)
    again = alice.post("/v1/accounts", json={"currency": "EUR", "name": "Holiday"}, headers=headers)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    other = alice.post("/v1/accounts", json={"currency": "USD"}, headers=headers)
    assert other.json()["code"] == "idempotency_key_reused"
    assert len(alice.get("/v1/accounts").json()["items"]) == 1


def test_only_bankers_deposit_and_withdraw(alice, banker):
    source = funded(alice, banker)
    assert (
        alice.post(f"/v1/accounts/{source}/deposits", json={"amount": 1}).json()["code"] == "permission_denied"
    )
    taken = banker.post(f"/v1/accounts/{source}/withdrawals", json={"amount": 400})
    assert taken.json()["account"]["balance"] == 600
    too_much = banker.post(f"/v1/accounts/{source}/withdrawals", json={"amount": 601})
    assert too_much.json()["code"] == "insufficient_funds"
    assert banker.post("/v1/accounts/999999999/deposits", json={"amount": 1}).status_code == 404


def test_pages_of_accounts_and_entries_are_whole_and_in_order(alice, bob, banker):
    source, target = funded(alice, banker), funded(bob, banker, 0)
    for _ in range(6):
        transfer(alice, source, target, 1)
    seen, cursor = [], None
    while True:
        params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = alice.get(f"/v1/accounts/{source}/entries", params=params).json()
        seen += [entry["seq"] for entry in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    for _ in range(2):
        alice.post("/v1/accounts", json={"currency": "CAD"})
    first = alice.get("/v1/accounts", params={"limit": 2}).json()
    second = alice.get("/v1/accounts", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    ids = [account["id"] for account in first["items"] + second["items"]]
    assert ids == sorted(ids)
    assert len(ids) == 3
    assert second["next_cursor"] is None


def test_an_unverified_user_opens_no_account(service):
    unverified = service.client(service.register(verified=False))
    response = unverified.post("/v1/accounts", json={"currency": "USD"})
    assert (response.status_code, response.json()["code"]) == (403, "email_not_verified")


def test_a_verification_link_works_once_and_for_browsers_too(service):
    name = service.register(verified=False)
    link = service.verification_link(f"{name}@example.com")
    page = httpx.get(link, headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "verified" in page.text
    assert httpx.get(link).json()["code"] == "not_found"
    assert "not valid" in httpx.get(link, headers={"Accept": "text/html"}).text


def test_users_read_and_change_themselves(service, alice, bob):
    name = service.register()
    client = service.client(name)
    assert client.get(f"/v1/users/{name}").json()["is_email_verified"] is True
    changed = client.patch(f"/v1/users/{name}", json={"full_name": "New Name", "email": f"{name}@new.example"})
    assert changed.json()["full_name"] == "New Name"
    assert changed.json()["is_email_verified"] is False
    assert service.verification_link(f"{name}@new.example")
    assert alice.get(f"/v1/users/{name}").status_code == 404
    assert client.patch(f"/v1/users/{name}", json={"password": "another password"}).status_code == 200
    login = httpx.post(f"{service.http}/v1/users/login", json={"username": name, "password": PASSWORD})
    assert (login.status_code, login.json()["code"]) == (401, "unauthenticated")


def test_names_and_addresses_are_unique(service):
    name = service.register(verified=False)
    body = {"username": name, "password": PASSWORD, "full_name": "X", "email": "other@example.com"}
    assert httpx.post(f"{service.http}/v1/users", json=body).json()["code"] == "already_exists"
    body = body | {"username": f"{name}x", "email": f"{name.upper()}@EXAMPLE.com"}
    assert httpx.post(f"{service.http}/v1/users", json=body).status_code == 409


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "unauthenticated"),
        ("Basic abc", "unauthenticated"),
        ("Bearer v4.local.nonsense", "invalid_token"),
        ("Bearer eyJhbGciOiJub25lIn0.e30.", "invalid_token"),
    ],
)
def test_no_or_bad_credentials_are_401(service, header, code):
    headers = {"Authorization": header} if header else {}
    response = httpx.get(f"{service.http}/v1/accounts", headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, code)
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_refresh_token_is_no_access_token(service):
    name = service.register()
    body = {"username": name, "password": PASSWORD}
    refresh = httpx.post(f"{service.http}/v1/users/login", json=body).json()["refresh_token"]
    response = httpx.get(f"{service.http}/v1/accounts", headers={"Authorization": f"Bearer {refresh}"})
    assert response.json()["code"] == "invalid_token"


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"amount": true}', "amount"),
        (b'{"amount": 1.0}', "amount"),
        (b'{"amount": 1e2}', "amount"),
        (b'{"amount": "1"}', "amount"),
        (b'{"amount": null}', "amount"),
        (b'{"amount": 1, "amount": 2}', "amount"),
        (b'{"amount": 1, "note": "x"}', "note"),
        (b"{}", "amount"),
        (b'{"amount": 123456789012345678901234567890}', "amount"),
        (b"[1]", None),
        (b"{", None),
        (b"", None),
        (b'{"amount": NaN}', None),
        (b"[" * 30_000, None),
        (b"\xff\xfe", None),
    ],
)
def test_a_malformed_body_is_a_clear_400(alice, banker, raw, field):
    account = alice.post("/v1/accounts", json={"currency": "USD"}).json()["id"]
    response = banker.post(f"/v1/accounts/{account}/deposits", content=raw)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_argument"), response.text
    if field:
        assert [error["field"] for error in response.json()["errors"]] == [field]


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", "x" * 101, "tab\there"])
def test_names_that_cannot_be_stored_are_refused(alice, name):
    import json

    response = alice.post("/v1/accounts", content=json.dumps({"currency": "USD", "name": name}))
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "name")


def test_a_body_over_64_kib_is_413(alice):
    response = alice.post("/v1/accounts", content=b'{"name": "' + b"x" * 70_000 + b'"}')
    assert (response.status_code, response.json()["code"]) == (413, "invalid_argument")


def test_unknown_paths_and_methods_are_problems(service):
    assert httpx.get(f"{service.http}/v1/nothing").json()["code"] == "not_found"
    response = httpx.delete(f"{service.http}/v1/accounts")
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=!!", "cursor=LTU="])
def test_bad_pages_are_400(alice, query):
    assert alice.get(f"/v1/accounts?{query}").status_code == 400


def test_the_ledger_is_clean_after_all_this(service):
    done = service.audit()
    assert done.returncode == 0, done.stdout + done.stderr
