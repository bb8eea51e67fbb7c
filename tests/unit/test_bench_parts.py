"""What the benchmarks are made of: the CPU time of a family, and the answers that an overload gets."""

from __future__ import annotations

import socket
import subprocess
import sys
from threading import Thread

import pytest

from bench.flood import OK, OTHER, REFUSED, Flood, kind_of
from bench.processes import cpu_s, resident_mib
from cli.hammer.plan import Plan

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


@pytest.mark.parametrize(("answered", "cut_off"), [(True, 0), (False, 1)])
def test_a_connection_that_is_closed_is_replaced_and_counted_where_an_answer_was_owed(answered, cut_off):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            first, _ = listener.accept()
            with first:
                first.recv(65536)
                if answered:
                    first.sendall(b"HTTP/1.1 201 \r\ncontent-length: 2\r\nConnection: close\r\n\r\n{}")
            with listener.accept()[0] as second:
                while second.recv(65536):
                    pass

        server = Thread(target=serve)
        server.start()
        plan = Plan("token", [1, 2], "USD", hot=True)
        with Flood(plan, listener.getsockname()[1], 1) as flood:
            while flood.sent < 2:
                flood.run(1_000.0, 0.05)
        server.join()
    assert flood.cut_off == cut_off
    assert len(flood.took_ms[OK]) == answered
