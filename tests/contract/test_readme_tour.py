"""The README's tour: its shell commands are run as they stand, its gRPC calls through grpcio."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import grpc
import pytest
from google.protobuf import json_format

from proto.transactions.v2 import ledger_pb2
from tests.support.service import ROOT, ServiceProcess

BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def tour(postgres_server, redis_server, migrated_template, tmp_path_factory):
    """A service of its own, which has never heard of Alice."""
    postgres_server.create_database("tour", template=migrated_template)
    redis_url = redis_server.url.replace("db=0", "db=2")
    process = ServiceProcess(tmp_path_factory.mktemp("tour"), postgres_server.url("tour"), redis_url)
    process.start()
    yield process
    assert process.stop() == 0


def run(script: str, service: ServiceProcess) -> str:
    """Run a script as a reader would, but on the test's service."""
    here = (
        script.replace("http://127.0.0.1:8080", service.http)
        .replace("var/mail", str(service.var_dir / "mail"))
        .replace(".venv/bin/transactions", f"{sys.executable} -m cli.main")
        .replace("--seconds 5", "--seconds 1")
        .replace("sleep 1\n", f"until grep -qs '^http' {service.var_dir}/mail/*.eml; do sleep 0.1; done\n")
    )
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", here],
        cwd=ROOT,
        env=service.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_command_of_the_tour_works(tour):
    shell = [block for block in BLOCKS if "grpcurl" not in block]
    grpcurl = [line for block in BLOCKS for line in block.splitlines() if line.startswith("grpcurl")]
    assert len(shell) >= 6
    assert len(grpcurl) == 3
    # The shell echoes each gRPC command with its variables filled in; grpcio makes the calls.
    echoes = "\n".join(f"echo GRPC {_expanding(line)}" for line in grpcurl)
    *steps, finale = shell
    output = run("\n".join([*steps, echoes, finale]), tour)

    answers = documents(output)
    assert {"is_verified": True} in answers
    assert "bob created: banker" in output
    first, again = [answer for answer in answers if "from_entry" in answer]
    assert first == again
    assert first["transfer"]["amount"] == 2500
    assert "idempotency-replayed: true" in output.lower()
    (page,) = [answer for answer in answers if "items" in answer]
    assert [item["amount"] for item in page["items"]] == [-2500, 10000]
    (savings,) = [answer["account"] for answer in answers if answer.keys() == {"account"}]
    assert savings["balance"] == "2500"
    (batch,) = [answer["outcomes"] for answer in answers if "outcomes" in answer]
    assert [outcome["fromBalanceAfter"] for outcome in batch] == ["5000", "2500"]
    assert "transfers/s" in output
    assert "holds" in output

    calls = [shlex.split(line) for line in re.findall(r"GRPC (grpcurl .*)", output)]
    assert calls[0][-1] == "list"
    account = _grpc(tour, calls[1], ledger_pb2.GetAccountRequest, ledger_pb2.GetAccountResponse)
    assert account.account.balance == 2500
    made = _grpc(tour, calls[2], ledger_pb2.CreateTransferRequest, ledger_pb2.CreateTransferResponse)
    assert made.from_account.balance == 0


def documents(output: str) -> list[dict]:
    """Every JSON object in what was printed."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (at := output.find("{", at)) >= 0:
        try:
            document, at = decoder.raw_decode(output, at)
        except ValueError:
            at += 1
        else:
            found.append(document)
    return found


def _expanding(line: str) -> str:
    # Inside double quotes the shell fills in the variables and keeps our quoting for shlex.
    return " ".join(
        f'"\'"{word}"\'"' if word.startswith('"') else word for word in re.findall(r'"(?:\\.|[^"])*"|\S+', line)
    )


def _grpc(service: ServiceProcess, words: list[str], request_type, response_type):
    name, _, value = words[words.index("-H") + 1].partition(": ")
    request = json_format.Parse(words[words.index("-d") + 1], request_type())
    assert words[-2] == "127.0.0.1:9090"
    with grpc.insecure_channel(service.grpc) as channel:
        stub = channel.unary_unary(
            f"/{words[-1]}",
            request_serializer=request_type.SerializeToString,
            response_deserializer=response_type.FromString,
        )
        return stub(request, metadata=[(name, value)], timeout=10)
