"""The description tells the truth: its examples are sent, and schemathesis finds no difference."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from cli.settings import SECRET_FILE
from domain.policy import Role
from tests.attacks.clients import mailed
from tests.support.openapi import OPERATIONS, Operation, content_of, described, problems
from tests.support.service import PASSWORD, ROOT, ServiceProcess, open_accounts

EXAMPLES = 15
SEED = int(os.environ.get("SCHEMATHESIS_SEED", 20261124))
TRIED = [name for name in OPERATIONS if name not in ("healthz", "readyz")]
ENDLESS = ["Ledger_WatchAccount"]
LINES = "application/x-ndjson"


class Everybody:
    """One user with every role, and what an example must be about to be carried out."""

    def __init__(self, service: ServiceProcess) -> None:
        self.service = service
        self.name = service.register()
        with psycopg.connect(service.database_url, autocommit=True) as connection:
            connection.execute("update users set roles = %s where username = %s", [list(Role), self.name])
        self.source, self.target = open_accounts(service.database_url, self.name, 2)
        deposit = service.client(self.name).post(
            f"/v1/accounts/{self.source}/deposits", json={"amount": 10**12}
        )
        self.transfer = deposit.json()["transfer"]["id"]

    def login(self) -> dict[str, Any]:
        body = {"username": self.name, "password": PASSWORD}
        return httpx.post(f"{self.service.http}/v1/users/login", json=body).json()

    def instead(self, asked: str) -> dict[str, Any]:
        """What stands in a request in place of its example's values, by name in the .proto files."""
        accounts = {"account_id": self.source, "from_account_id": self.source, "to_account_id": self.target}
        return {"username": self.name, "id": self.source, **accounts, **self._of(asked)}

    def _of(self, asked: str) -> dict[str, Any]:
        special: dict[str, Callable[[], dict[str, Any]]] = {
            "create_user": lambda: self._names(f"new_{uuid4().hex[:8]}"),
            "grant_roles": lambda: {"username": self.service.register(verified=False)},
            "get_transfer": lambda: {"id": self.transfer, "transfer_id": self.transfer},
            "revoke_session": lambda: dict.fromkeys(("id", "session_id"), self.login()["session_id"]),
            "renew_access": lambda: {"refresh_token": self.login()["refresh_token"]},
            "verify_email": self._verification,
            "confirm_password_reset": self._reset,
        }
        return special.get(asked, dict)()

    def _names(self, name: str) -> dict[str, Any]:
        return {"username": name, "email": f"{name}@example.com"}

    def _verification(self) -> dict[str, Any]:
        name = self.service.register(verified=False)
        email_id, secret_code = mailed(self.service, f"{name}@example.com", "email_id")
        return {"email_id": email_id, "secret_code": secret_code}

    def _reset(self) -> dict[str, Any]:
        email = f"{self.service.register(verified=False)}@example.com"
        httpx.post(f"{self.service.http}/v1/users/password_reset", json={"email": email}).raise_for_status()
        reset_id, secret_code = mailed(self.service, email, "reset_id")
        return {"reset_id": reset_id, "secret_code": secret_code}


@pytest.fixture(scope="module")
def everybody(service: ServiceProcess) -> Everybody:
    return Everybody(service)


def snake(name: str) -> str:
    """A name as it stands in the .proto files."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def replaced(value: Any, instead: dict[str, Any]) -> Any:
    """An example with these values in place of its own; numbers stay numbers, and strings strings."""
    if isinstance(value, dict):
        return {
            name: type(each)(instead[snake(name)]) if snake(name) in instead else replaced(each, instead)
            for name, each in value.items()
        }
    return [replaced(each, instead) for each in value] if isinstance(value, list) else value


def request_of(operation: Operation, everybody: Everybody) -> httpx.Request:
    """The example of a request, about what is there."""
    instead = everybody.instead(
        snake(operation.id.rpartition("_")[2]) if "v2" in operation.path else operation.id
    )
    named = {name: each["example"] for name, each in operation.parameters.items() if "example" in each}
    named = replaced(named, instead)
    path = re.sub(r"\{(\w+)\}", lambda match: str(named.pop(match[1])), operation.path)
    headers, content = {"Authorization": f"Bearer {everybody.login()['access_token']}"}, None
    if "requestBody" in operation.described:
        media_type, body = content_of(operation.described["requestBody"])
        headers["Content-Type"] = media_type
        content = json.dumps(replaced(body["example"], instead)).encode()
    url = f"{everybody.service.http}{path}"
    return httpx.Request(operation.method, url, params=named, headers=headers, content=content)


def test_what_is_served_is_the_description(service):
    response = httpx.get(f"{service.http}/openapi.json")
    assert response.headers["content-type"] == "application/json"
    assert response.content == described()


@pytest.mark.parametrize("name", TRIED)
def test_an_example_can_be_sent_and_is_answered_as_described(everybody, name):
    operation = OPERATIONS[name]
    status, answer = operation.success
    with httpx.Client(timeout=30) as client:
        response = client.send(request_of(operation, everybody), stream=True)
        assert response.status_code == status, response.read()
        if "content" not in answer:
            assert response.read() == b""
            return
        media_type, content = content_of(answer)
        assert response.headers["content-type"] == media_type
        text = next(response.iter_lines()) if media_type == LINES else response.read()
        response.close()
    document = json.loads(text)
    assert problems(content["schema"], document) == []
    assert document.keys() <= content["example"].keys()


def test_schemathesis_finds_nothing(everybody):
    service = everybody.service
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", "tests/support/schemathesis.toml"),
        *("run", f"{service.http}/openapi.json"),
        *("--checks", "all", "--max-examples", str(EXAMPLES), "--seed", str(SEED), "--workers", "1"),
        *("--generation-database", "none", "--warnings", "off", "--max-failures", "5"),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks",
            "PYTHONPATH": str(ROOT),
            "TOKEN_KEY": (service.var_dir / SECRET_FILE).read_text(),
            "TOKEN_USER": everybody.name,
            "ACCOUNT_ID": str(everybody.source),
            "TRANSFER_ID": str(everybody.transfer),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(f"SCHEMATHESIS_SEED={SEED}")
    assert done.returncode == 0, done.stdout[:20_000] + done.stderr[-2_000:]
    assert f"Tested: {len(OPERATIONS) - len(ENDLESS)}" in done.stdout
