"""How long a login takes does not tell whether there is such a user."""

from __future__ import annotations

import time
from statistics import median

import httpx

from tests.support.service import ServiceProcess

SAMPLES = 200
WARM_UP = 20
DIFFERENCE_MAX = 0.10


def test_an_unknown_user_takes_as_long_as_a_wrong_password(service: ServiceProcess, capsys):
    known = service.register(f"timed{time.monotonic_ns()}", verified=False)
    unknown = f"{known[:-1]}x"
    with httpx.Client(base_url=service.http, timeout=30) as client:

        def seconds(username: str) -> float:
            body = {"username": username, "password": "a wrong password"}
            began = time.perf_counter()
            response = client.post("/v1/users/login", json=body)
            assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
            return time.perf_counter() - began

        for _ in range(WARM_UP):
            seconds(known), seconds(unknown)
        times: dict[str, list[float]] = {known: [], unknown: []}
        for at in range(SAMPLES):
            # Each goes first as often as the other.
            for username in (known, unknown) if at % 2 else (unknown, known):
                times[username].append(seconds(username))
    there, missing = median(times[known]), median(times[unknown])
    with capsys.disabled():
        print(
            f"\n{SAMPLES} logins each: known {there * 1000:.2f} ms, unknown {missing * 1000:.2f} ms (medians)"
        )
    assert abs(there - missing) <= DIFFERENCE_MAX * max(there, missing)
