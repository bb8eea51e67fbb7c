"""The examples for clients, in README and docs/clients.md, do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.support.examples import FUNDS, examples, make_alice
from tests.support.service import ROOT, ServiceProcess

PAGES = ("README.md", "docs/clients.md")
PLUGINS = ("protoc-gen-go", "protoc-gen-go-grpc")
PLUGIN = """
import sys
from pathlib import Path
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
asked = CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
assert asked.parameter == "paths=source_relative"
answer = CodeGeneratorResponse(supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL)
for name in asked.file_to_generate:
    answer.file.add(name=f"{name}.{Path(sys.argv[0]).name}")
sys.stdout.buffer.write(answer.SerializeToString())
"""


@pytest.fixture
def alices(database_url, redis_url, tmp_path):
    """A service of its own, which knows Alice, and her two accounts."""
    service = ServiceProcess(tmp_path, database_url, redis_url).start()
    yield service, make_alice(service)
    assert service.stop() == 0


def balances(service: ServiceProcess, accounts: list[int]) -> list[int]:
    with psycopg.connect(service.database_url) as connection:
        rows = connection.execute(
            "select balance from accounts where id = any(%s) order by id", [accounts]
        ).fetchall()
    return [balance for (balance,) in rows]


def test_the_python_examples_move_the_money_they_speak_of(alices):
    service, accounts = alices
    programs = examples("python", *PAGES)
    assert programs
    for program in programs:
        done = subprocess.run(
            [sys.executable, "-c", program.replace("127.0.0.1:9090", service.grpc)],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"leaves {FUNDS - 500}\n" in done.stdout  # by one key, whichever page it is on
        assert "seq: 1" in done.stdout
    assert balances(service, accounts) == [FUNDS - 500, 500]


def test_buf_generates_from_our_descriptors_what_its_plugins_make(tmp_path):
    (command,) = examples("sh", "docs/clients.md")
    for name in PLUGINS:
        assert f'"local": "{name}"' in command
        (tmp_path / name).write_text(f"#!{sys.executable}\n{PLUGIN}")
        (tmp_path / name).chmod(0o755)
    command = command.replace("proto/descriptors.binpb", f"{ROOT}/proto/descriptors.binpb")
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = {str(path.relative_to(tmp_path / "gen")) for path in (tmp_path / "gen").rglob("*.proto.*")}
    assert {f"transactions/v2/ledger.proto.{name}" for name in PLUGINS} <= made
