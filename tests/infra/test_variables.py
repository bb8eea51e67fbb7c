"""What Terraform made, put into the file that the overlays are filled from."""

from __future__ import annotations

import re

from infra import variables


def test_variables_take_the_outputs_of_their_names() -> None:
    text = "# The one file\nDOMAIN=bank.example.com\nREGION=us-east-1\nVPC_CIDR=10.20.0.0/16\n"
    outputs = {"domain": "bank.test", "region": "eu-central-1", "smtp_secret_name": "transactions/smtp"}
    assert variables.filled(text, outputs) == (
        "# The one file\nDOMAIN=bank.test\nREGION=eu-central-1\nVPC_CIDR=10.20.0.0/16\n"
    )


def test_variables_image_keeps_its_version() -> None:
    outputs = {"ecr_repository_url": "9.dkr.ecr.eu-central-1.amazonaws.com/bank"}
    assert variables.filled("IMAGE=1.dkr.ecr.us-east-1.amazonaws.com/t:0.1.0\n", outputs) == (
        "IMAGE=9.dkr.ecr.eu-central-1.amazonaws.com/bank:0.1.0\n"
    )
    assert variables.filled("IMAGE=a/t@sha256:12\n", outputs).endswith("/bank@sha256:12\n")
    assert variables.filled("IMAGE=a/t:1\n", {}) == "IMAGE=a/t:1\n"


def test_variables_of_the_file_are_all_found() -> None:
    text = variables.FILE.read_text()
    written = {line.partition("=")[0] for line in text.splitlines() if line and not line.startswith("#")}
    found = {match[1] for match in re.finditer(variables.LINE, text)}
    assert found == written
    assert {"DOMAIN", "IMAGE", "DEPLOY_ROLE_ARN"} <= found
