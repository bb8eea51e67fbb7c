"""What is made of pip-audit's answer."""

from __future__ import annotations

import json

import pytest

from infra.vulnerabilities import verdict_of

CLEAN = {"name": "h2", "version": "4.4.0", "vulns": []}
VULNERABLE = {"name": "x", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"], "aliases": []}]}


def document(*dependencies: dict[str, object]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


def test_clean_dependencies_are_counted():
    assert verdict_of(0, document(CLEAN, CLEAN), "") == (
        0,
        "2 dependencies were audited: no known vulnerabilities",
    )


@pytest.mark.parametrize("stderr", ["Found 1 known vulnerability", "a ConnectionError in what else it says"])
def test_a_vulnerability_is_an_error_whatever_else_is_said(stderr):
    status, text = verdict_of(1, document(CLEAN, VULNERABLE), stderr)
    assert status == 1
    assert "x 1: CVE-1, mended in 2" in text


@pytest.mark.parametrize(
    "stderr",
    [
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='api.osv.dev', port=443): Max retries",
        "requests.exceptions.ProxyError: unable to connect to proxy",
        "requests.exceptions.SSLError: certificate verify failed",
        "pip_audit._service.interface.ServiceError",
        "ERROR:pip_audit._cli:Could not connect to OSV's vulnerability feed",
    ],
)
def test_a_database_out_of_reach_is_said_and_no_error(stderr):
    status, text = verdict_of(1, "", stderr)
    assert (status, "NOT audited" in text) == (0, True)


@pytest.mark.parametrize(("returncode", "stdout"), [(2, ""), (1, "no document"), (1, document(CLEAN))])
def test_a_question_that_went_wrong_otherwise_is_an_error(returncode, stdout):
    assert verdict_of(returncode, stdout, "error: no such option --what")[0] == 1
