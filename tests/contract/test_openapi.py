"""The description tells the truth: every route is in it, and schemathesis finds no difference."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import httpx
import pytest
from openapi_spec_validator import validate

from cli.settings import SECRET_FILE
from tests.attacks.test_policy_matrix import PAGES, Anything
from tests.support.service import ROOT, ServiceProcess, open_accounts
from transport.http.server import create_app

EXAMPLES = 15
SEED = int(os.environ.get("SCHEMATHESIS_SEED", 20261124))
DESCRIBED_PAGES = {"healthz", "readyz"}


@pytest.fixture(scope="module")
def document(service: ServiceProcess) -> dict:
    return httpx.get(f"{service.http}/openapi.json").json()


def test_the_document_is_openapi_3_1(document):
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_every_route_is_described_and_nothing_else(document):
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in create_app(Anything(), Anything()).url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.endpoint.removeprefix("v1.") not in PAGES - DESCRIBED_PAGES
    }
    described = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    assert described == routes


def test_what_needs_no_login_says_so(document):
    for item in document["paths"].values():
        for operation in item.values():
            assert (operation.get("security") == []) == ("403" not in operation["responses"]) or operation[
                "operationId"
            ] in ("login_user", "renew_access")


def test_schemathesis_finds_nothing(service: ServiceProcess):
    name = service.register()
    account = open_accounts(service.database_url, name, 1)[0]
    made = service.client(service.banker()).post(f"/v1/accounts/{account}/deposits", json={"amount": 10**12})
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
            "TOKEN_USER": name,
            "ACCOUNT_ID": str(account),
            "TRANSFER_ID": str(made.json()["transfer"]["id"]),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(f"SCHEMATHESIS_SEED={SEED}")
    assert done.returncode == 0, done.stdout[:20_000] + done.stderr[-2_000:]
    assert (
        f"Tested: {len(re.findall('operationId', httpx.get(f'{service.http}/openapi.json').text))}"
        in done.stdout
    )
