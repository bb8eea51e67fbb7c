"""What the benchmarks are made of: the CPU time of a family, and the answers that an overload gets."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.flood import OK, OTHER, REFUSED, kind_of
from bench.processes import cpu_s, resident_mib

BURN = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\nsys.stdin.read()"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])"


def test_the_cpu_time_and_memory_of_a_process_are_those_of_its_descendants_too():
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        parent.stdout.readline()
        own = int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(parent.pid)])) / 1024
        assert cpu_s(parent.pid) >= 0.28
        assert resident_mib(parent.pid) > own + 1
        parent.stdin.close()


REFUSAL = b"HTTP/1.1 429 \r\ncontent-length: 30\r\n%b\r\n" + b'{"code":"%b"}'


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (201, b"HTTP/1.1 201 \r\n\r\n", OK),
        (429, REFUSAL % (b"Retry-After: 1\r\n", b"overloaded"), REFUSED),
        (429, REFUSAL % (b"", b"overloaded"), OTHER),
        (429, REFUSAL % (b"Retry-After: 1\r\n", b"rate_limited"), OTHER),
        (503, REFUSAL % (b"Retry-After: 1\r\n", b"overloaded"), OTHER),
    ],
)
def test_only_overloaded_with_retry_after_is_a_refusal(status, answer, kind):
    assert kind_of(status, answer) == kind
