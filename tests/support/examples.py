"""The examples in our documents, and the Alice whom they speak of."""

from __future__ import annotations

import re

import httpx

from tests.support.service import ROOT, ServiceProcess, open_accounts

FUNDS = 10_000
PASSWORD = "correct horse"


def examples(language: str, *pages: str) -> list[str]:
    """What stands in the pages' fenced blocks of this language."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [example for page in pages for example in pattern.findall((ROOT / page).read_text())]


def make_alice(service: ServiceProcess) -> list[int]:
    """Her checking account, with money in it, and her savings account."""
    body = {"username": "alice", "password": PASSWORD, "full_name": "Alice", "email": "alice@example.com"}
    assert httpx.post(f"{service.http}/v1/users", json=body).status_code == 201
    httpx.get(service.verification_link("alice@example.com"))
    accounts = open_accounts(service.database_url, "alice", 2)
    banker = service.client(service.banker())
    deposit = banker.post(f"/v1/accounts/{accounts[0]}/deposits", json={"amount": FUNDS})
    assert deposit.status_code == 201, deposit.text
    return accounts
